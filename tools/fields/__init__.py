"""The generator of `core.pods.field_table`: what an API server does to the fields of a template.

Here belong the samples, the walk through the schema and the measurement. Here does not belong what
follows from the table: that is `core.pods.api_fields`.
"""
