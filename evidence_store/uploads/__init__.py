"""Uploads by tus: the protocol, one writer at a time, how each of them ends."""
