"""Certificates of the webhook: their Secret, the one that is served, and `caBundle`.

`self_signed` makes certificates and `provided` takes those of somebody else; both are a `source`
and hand them to `serving`. `ca_bundle` writes the webhook configurations, `trust` watches them, and
`self_probe` connects to this replica as an API server does. `pki` decides what is due.
"""
