"""Sealed objects: taken in one piece, put in their place, given out whole or in part."""
