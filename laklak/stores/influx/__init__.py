"""InfluxDB as a store: this folder has what 1.x and 2.x share, `v1` and `v2` what differs.

store ─► writer, reader, absences, contents, checking ─► database (the protocol) ◄── v1/database, v2/bucket
                                                                                     │
                                                         requests ◄── v1/client, v2/client
"""
