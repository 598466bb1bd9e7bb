"""`laklak bench`: how fast a backfill is, and how near to what is possible, measured here and now.

    run        what is measured, in which order, each measurement a process of its own
      children   starting processes, and the CPU and memory that they took
      places     databases and files that are made for one measurement and dropped after it
      influxd    an InfluxDB 1.x server of our own, where there is a program for it
    worker     what runs in those processes beside laklak itself:
      serving      the simulator, with every answer made beforehand
      reference    what must be stored in the end, from the generator and nothing else
      limits       the same bytes only downloaded, the same rows only written
      verifying    what is stored, held against the reference, value by value
    results    the figures; table and picture show them

Nothing here is part of a backfill; what is measured is the program as users run it.
"""
