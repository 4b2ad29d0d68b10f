"""Certificates: how they are made, checked and replaced, as pure functions.

`issue` makes them, `checks` finds what is wrong with a pair, `secret_data` reads and writes the
Secret's data, `plan` decides the next step and carries it out on a value. The clock is always an
argument. Keys
and serial numbers come from `keys`, the one place with randomness. No API calls, files or logs.
"""
