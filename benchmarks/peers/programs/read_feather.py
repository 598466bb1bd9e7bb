"""Reads what freqtrade stored, and writes it down as the other programs do: FOLDER, FILE and the symbols."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from work import write_rows


def main(folder: Path, target: Path, symbols: Sequence[str]) -> None:
    found: dict[str, list[Sequence[Any]]] = {}
    for symbol in symbols:
        path = folder / f"{symbol.removesuffix('USDT')}_USDT_USDT-1m-futures.feather"
        if path.exists():
            frame = pd.read_feather(path)
            times = frame["date"].astype("datetime64[ms, UTC]").astype("int64")
            columns = [times, *(frame[name] for name in ("open", "high", "low", "close", "volume"))]
            found[symbol] = list(zip(*columns, strict=True))
    write_rows(target, found)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
