"""What is said of an injection when it is applied: errors, warnings, a trial on made-up pods."""
