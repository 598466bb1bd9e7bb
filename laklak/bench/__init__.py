"""`laklak bench`: how fast a backfill runs on this machine, and how near it comes to the limits.

    run        the measurements in their order, each a process of its own
      children   starting processes; their CPU and memory
      places     databases and files made for one measurement and dropped after it
      influxd    an InfluxDB 1.x server of our own, if PATH has the program
    worker     what runs in those processes beside laklak itself:
      serving      the simulator, its answers made beforehand
      reference    what a store must hold in the end, from the generator alone
      limits       the same bytes only downloaded, the same rows only written
      verifying    the stored candles against the reference, value by value
    results    the figures; table and picture show them

Nothing here is part of a backfill; the measured program is the one users run.
"""
