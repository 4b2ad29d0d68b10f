"""The page on which injections and pods are written and what becomes of them is seen.

`server` says who may ask, `answers` makes the answer by the code of `explain` and `diff`, `live`
reads a cluster, and `page/` is what the browser gets.
"""
