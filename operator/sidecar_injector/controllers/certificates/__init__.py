"""Certificates of the webhook: their Secret, the one that is served, and `caBundle`.

`self_signed` makes them and `provided` takes those of somebody else; both put them into `serving`.
`ca_bundle` writes the webhook configurations, `trust` watches what these say, and `self_probe`
connects to this replica as an API server would. `pki` decides what is due.
"""
