"""Errors and warnings about an injection that is applied, with a trial on example pods."""
