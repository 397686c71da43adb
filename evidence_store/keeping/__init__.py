"""How long objects are kept: holds, retention classes, review and disposal."""
