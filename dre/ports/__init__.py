"""What DRE asks of the outside: one contract a file, each kept by every adapter."""
