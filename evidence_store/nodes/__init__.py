"""Several machines, one store: which node holds an upload, and how the others pass its sender on to it."""
