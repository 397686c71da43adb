"""How bytes come in: a request's body, piece by piece, hashed and sealed while the next ones come."""
