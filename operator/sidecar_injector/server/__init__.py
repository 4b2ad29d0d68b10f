"""How others reach a replica: TLS, HTTP, the admission review, readiness and the admin port.

Here belongs what turns bytes into a request and an answer into bytes: `parser` and `connection`
(one client), `pool` (what the clients of one port share), `listener` (the port itself), `tls` (the
certificate in force), `readiness`, `admin` and `admission`. Here does not belong a decision about
a pod (that is `core`), a call to the Kubernetes API (`kube`) or the making of certificates (`pki`).
"""
