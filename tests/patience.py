"""How long writers of SQLite wait for each other here: it gives whoever comes first the lock, and promises no turn."""

BUSY_MS = 300_000
