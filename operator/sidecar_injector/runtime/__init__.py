"""The life of the process, and the only place that knows Kopf.

Kopf logs in, hosts the admission server, dispatches `/validate` and ends all of it at SIGTERM.
"""
