"""What to ask for, what it costs, and what an answer settles.  Pure."""
