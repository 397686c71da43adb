"""Telling other systems what happened: to addresses of the operator's list, signed, in order, until it is taken."""
