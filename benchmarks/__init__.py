"""What the product costs, measured beside others of its kind: `make bench`.

Here belongs what makes load, measures and reports. Every figure is one of the product as shipped
(chart, command, log and metrics on, a real API server) or of a comparator in `comparators/`;
nothing of the product is stubbed or called in-process, except in `profile`, which shows where the
time is spent. What only tests need does not belong here, nor anything that the product imports.
"""
