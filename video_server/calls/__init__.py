"""Calls: the room, who is in it, admission, where it is relayed, what broke when."""
