"""A small HTTP/1.1 server over TLS. It knows nothing of Kubernetes.

`listener` is a port, `handshakes` has the clients that are not connections yet, and `connection` is
one client, over TLS on a `tls_transport`. `parser` reads requests, `messages` has requests and
responses, `pool` what all clients of a port share (limits, routes), `tls` the certificate.
"""
