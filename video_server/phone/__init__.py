"""The person's phone, from the link to goodbye."""
