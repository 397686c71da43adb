"""Quarantine: why an object is set aside, and how people release it."""
