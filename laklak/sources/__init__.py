"""What gives candles during a run: a venue's API, its bulk files, another store."""
