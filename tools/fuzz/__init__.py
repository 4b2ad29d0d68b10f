"""Malformed input for the admission port, from broken TLS to odd AdmissionReviews.

Here belong the inputs, who sends them and who judges what comes back; not the operator itself,
which is started as everywhere else by `tools.controlplane`.
"""
