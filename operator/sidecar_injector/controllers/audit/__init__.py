"""Counts the running pods by state in `status.pods` of each injection; one replica does it."""
