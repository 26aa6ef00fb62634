"""Judges of recorded operations: verifiers that look from one side each, and the consensus drawn from them."""
