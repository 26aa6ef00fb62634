"""Bytes in, proofs out: format v1 of the ledger. Nothing here opens, reads a clock or draws a random number."""

FORMAT_DIGEST = "b7fb873516e4c522a33073c3071c58914a9590bf1bfa9cd1ae9ee51d79ab1662"
"""SHA-256 of tests/vectors/format-v1.json; `ledger.created` holds it, so a ledger names the rules it was made by."""
