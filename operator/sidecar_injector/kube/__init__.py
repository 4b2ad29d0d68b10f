"""The Kubernetes API as the rest of the operator sees it: JSON in and out.

`api` is the protocol, `client` and `credentials` implement it; `informer` lists and watches,
`events` records Events, `leader_election` holds a Lease, `server_clock` compares clocks. `backoff`
and `yielding` help loops to wait. What an object means, and what to do about it, does not belong
here.
"""
