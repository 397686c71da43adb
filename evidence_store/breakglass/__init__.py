"""Opening evidence that is not one's own: with a written reason, for minutes, told to supervisors at once."""
