"""Counts in `status.pods` what became of the pods that run; one replica does, the leader."""
