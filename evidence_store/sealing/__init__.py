"""Everything that touches keys, ciphers, HMACs and hashes; nothing outside this package does."""
