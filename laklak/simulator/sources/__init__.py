"""Where the simulator's candles come from: generated or recorded ones."""
