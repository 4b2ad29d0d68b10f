"""The faults: each function is one row of the table and causes its fault `times` times.

Here belongs how the damage is done and how a repair is noticed. Not here: how often, and what is
accepted (`tools.chaos.table`).
"""
