"""From what people write to what a run does."""
