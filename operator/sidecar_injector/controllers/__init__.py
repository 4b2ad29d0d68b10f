"""Loops that keep objects in the cluster right: level-based, idempotent, in every replica at once.

A controller reads the informers, asks `core` or `pki` what should be, compares, and writes the
difference. The rules of what should be do not belong here.
"""
