"""What is counted and said during a run and at its end."""
