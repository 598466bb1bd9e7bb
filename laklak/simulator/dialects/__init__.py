"""How each venue spells what the simulator answers: one file each."""
