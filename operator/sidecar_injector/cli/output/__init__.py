"""Tables and reports on standard output and standard error."""
