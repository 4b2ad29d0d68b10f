"""Certificates: how they are made, checked and replaced, as pure functions.

`issue` makes them, `checks` finds what is wrong with a pair, `secret_data` reads and writes the
Secret's data, `plan` decides the next step and applies it to a value, and `handover` decides when a
replica serves another certificate. The clock is always an argument. Keys and serial numbers come
from `keys`, the one source of randomness. There are no API calls, files or logs.
"""
