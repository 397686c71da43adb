"""What every slice stands on: clock, database, events, errors, keys, log."""
