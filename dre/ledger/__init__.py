"""Bytes in, proofs out: format v1 of the ledger. Nothing here opens, reads a clock or draws a random number."""

FORMAT_DIGEST = "0" * 64
"""SHA-256 of tests/vectors/format-v1.json; `ledger.created` holds it, so a ledger names the rules it was made by."""
