"""Statements: drafted by the officer, read and signed by the witness, printed, sealed in the evidence store."""
