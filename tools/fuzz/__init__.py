"""Malformed input for the admission port, from broken TLS to odd AdmissionReviews.

Here belong the inputs, their senders and the checks of the answers; not the operator itself, which
`tools.controlplane` starts.
"""
