"""A separate program: reads rows of a SQLite file with ADBC's driver, and writes them as columns to its output.

    python -P driver.py ADDRESS SELECT ROWS

For each batch of at most ROWS rows: their number (8 bytes), then the bytes of each of six columns, integers and five
doubles, in this machine's byte order.  A count of 0 ends it; an end without it is a failure.

Imports nothing of laklak, so that it starts in a tenth of a second.  Why a process: see laklak.stores.sqlite.bulk.
"""

from __future__ import annotations

import struct
import sys


def main(address: str, select: str, rows: str) -> None:
    import adbc_driver_sqlite
    from adbc_driver_manager import AdbcConnection, AdbcStatement
    from nanoarrow import c_array_stream

    out = sys.stdout.buffer
    with (
        adbc_driver_sqlite.connect(address) as database,
        AdbcConnection(database) as connection,
        AdbcStatement(connection) as statement,
    ):
        statement.set_options(**{"adbc.sqlite.query.batch_rows": rows})
        statement.set_sql_query(select)
        stream, _ = statement.execute_query()
        for batch in c_array_stream(stream):
            if not len(batch):
                continue
            views = [batch.child(place).view() for place in range(batch.n_children)]
            # The driver takes the types from the rows: with other types these are not the rows asked for.
            if [(view.storage_type, view.null_count) for view in views] != [("int64", 0)] + [("double", 0)] * 5:
                raise SystemExit("columns of other types")
            out.write(struct.pack("=q", len(batch)))
            for view in views:
                out.write(memoryview(view.buffer(1)).cast("B")[: 8 * len(batch)])
    out.write(struct.pack("=q", 0))
    out.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
