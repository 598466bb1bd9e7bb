"""SQLite as a store: the embedded default."""
