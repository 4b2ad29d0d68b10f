"""Certificates: how they are made, judged and replaced, as pure functions.

Here belongs what can be said about certificates without asking anybody: issue them (`issue`), find
what is wrong with a pair (`verdict`), read and write the Secret's data (`state`), decide the next
step of their life (`plan`) and carry it out on a value (`roll`). The clock is always an argument.
Keys and serial numbers come from `material`, the one place with randomness. No API calls, files,
logging or waiting.
"""
