"""freqtrade download-data, as its command line runs it.

    https://www.freqtrade.io/en/stable/data-download/

The order is JSON: the `arguments`, those of a small run before it (`first`, or null) so that what is only loaded once
is loaded, and how many `candles` are asked for.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

from freqtrade.main import main as freqtrade
from work import Meter, Tally


def run(arguments: Sequence[str], tally: Tally) -> None:
    try:
        freqtrade(list(arguments))
    except SystemExit as exc:
        if exc.code:
            tally.failed.append(f"exit status {exc.code}")


def main() -> None:
    order = json.loads(sys.argv[1])
    tally = Tally(rows=order["candles"])
    if order["first"] is not None:
        run(order["first"], tally)
    meter = Meter()
    run(order["arguments"], tally)
    meter.report(tally)


if __name__ == "__main__":
    main()
