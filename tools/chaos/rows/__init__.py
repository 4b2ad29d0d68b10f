"""The faults: each function is one row of the table, and inflicts its fault `times` times.

Here belongs how damage is done and how one sees that it is over. Not here: how often, and what is
accepted (`tools.chaos.table`).
"""
