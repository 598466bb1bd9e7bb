"""InfluxDB as a store: what is the same for 1.x and 2.x is in this folder, what is not in `v1` and `v2`.

store ─► writer, reader, absences, contents, checking ─► database (the protocol) ◄── v1/database, v2/bucket
                                                                                         │
                                                             requests ◄── v1/client, v2/client
"""
