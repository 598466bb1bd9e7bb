"""What a store has, held against what it should have, from the store alone."""
