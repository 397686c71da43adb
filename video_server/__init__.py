"""Video appointments for victims of crime."""
