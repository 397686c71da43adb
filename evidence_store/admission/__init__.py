"""Who comes in: tokens that were issued and revoked, and how often each may ask."""
