"""Pages for evidence staff under /evidence/; what is done there is done by the functions behind the API."""
