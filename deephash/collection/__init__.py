"""deephash.collection."""
