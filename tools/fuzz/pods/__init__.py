"""Random pods and injections, made from the schemas, and what must hold for each pair of them.

The API server's OpenAPI document says which fields there are, so none is forgotten; `values` says
what a field may contain, `mending` what fields ask of each other. The API server has the last word:
it judges each pod without us and with us.
"""
