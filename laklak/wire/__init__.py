"""HTTP: pace, bans, clocks, and requests that are sent until an answer comes."""
