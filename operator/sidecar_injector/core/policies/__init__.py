"""Injections compiled to admission policies, so that the API server injects by itself.

The contract: for every pod, a compiled policy does exactly what `decide` would do with the compiled
injections, byte for byte and the status annotation included, or nothing at all: it defers, and the
webhook does it if it is there. What cannot keep the contract is named when it is compiled, with
field path and reason, and stays with the webhook. `chain.compile_chain` is the way in.
"""
