"""The chart's Grafana dashboard, made from a table of its panels.

The panels' queries and places belong here. The metrics are in
`sidecar_injector.observability.metrics`, and the ConfigMap around the dashboard is the chart's.
"""
