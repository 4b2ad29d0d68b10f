"""A small HTTP/1.1 server over TLS. It knows nothing of Kubernetes.

`listener` is a port and `connection` one client; `parser` reads requests, `messages` has requests
and responses, `pool` what all clients of a port share (limits, routes), `tls` the certificate.
"""
