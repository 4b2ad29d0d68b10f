"""The life of the process, and the only package that knows Kopf.

Kopf logs in, hosts the admission server, dispatches `/validate`, and ends all of it at SIGTERM.
These habits of Kopf do not fit an injector. Each is worked around beside a comment with its link:

- Kopf exits when it is given credentials that were refused before: `kopf_login.KopfConnection`.
- Kopf exits when its retries run out: `kopf_setup.EndlessBackoffs`.
- Kopf logs each attempt at a request as an error: `kopf_setup.RepetitionFilter`.
- Kopf logs each refusal of an injection as an error: `kopf_validation.RefusalFilter`.
- Kopf removes the webhooks of all replicas when one ends, so `kopf_setup` leaves it no webhooks.
- Kopf waits 5 s for tasks that are not its own, replaces our signal handlers, and needs the name of
  the user: `process.operate`.
"""
