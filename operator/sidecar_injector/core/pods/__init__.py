"""Pods and workloads as JSON: how their fields are read, and which shapes and names are valid."""
