"""HTTP plumbing: pages, forms, sessions, guards, headers, limits. It knows no appointment and no person."""
