"""deephash.objectives."""
