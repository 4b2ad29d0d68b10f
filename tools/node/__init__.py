"""A real Kubernetes node on this machine, in namespaces of its own: what runs pods for the tests.

Here belong: the programs that a node needs beside Kubernetes, the namespaces and cgroups that keep
them apart from the machine, the command lines and files of kubelet, containerd, kube-proxy and
scheduler, and images for tests. Not here: the API server and its friends (tools.controlplane, which
this extends), the operator's image (tools.image), or what is tested (tests/e2e).
It takes root on Linux; it changes nothing on the machine outside its namespaces, its own cgroups
and its own folder, and those are gone when it is. With cgroup v2 a controller that no group could
use yet stays enabled.
"""
