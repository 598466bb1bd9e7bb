"""HTTP: pace, bans, clocks, and requests that are sent until they are answered."""
