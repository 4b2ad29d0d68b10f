"""The Kubernetes API as the rest of the operator sees it: raw JSON in and out.

Here belongs what talks to the API server or keeps a copy of what it said: the protocol (`api`), its
implementation (`client`, `credentials`; `visitor` for people), the list-and-watch (`cache`), Events
(`events`) and the claim to a Lease (`lease`).
What an object means, and what to do about it, does not belong here.
"""
