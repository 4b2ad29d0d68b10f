"""Injections: their schema, their rules, their parameters, and the injections of a namespace."""
