"""Evidence in a call: what the officer asks for, what the person sends, what the store says of it."""
