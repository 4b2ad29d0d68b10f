"""The chart's Grafana dashboard, made from a table of its panels.

Here belong what the panels ask and how they lie; not the metrics, which
`sidecar_injector.observability.metrics` has, nor the ConfigMap around the dashboard, which is the
chart's.
"""
