"""Candles out of a store, into files that other programs read."""
