"""The officer's screen: diary, who waits, the call, notes, the end with an outcome."""
