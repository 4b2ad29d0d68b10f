"""Certificates of the webhook: their Secret, the one that is served, and `caBundle`.

`self_signed` makes certificates; `provided` takes those that cert-manager or an administrator made.
Both are a `source` and pass them to `serving`. `ca_bundle` writes the CAs into the webhook
configurations, and `trust` watches these. `self_probe` connects to this replica as an API server
does. `pki.plan` decides which step is due.
"""
