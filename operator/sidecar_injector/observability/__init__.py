"""Metrics, the log, and the garbage collector."""
