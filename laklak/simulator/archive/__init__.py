"""The simulator's bulk files."""
