"""The evidence store: a program of its own that receives, seals and gives back evidence, and proves its custody."""
