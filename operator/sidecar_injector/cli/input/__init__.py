"""Manifests from files and standard input, read as kubectl reads them."""
