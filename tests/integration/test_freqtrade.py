"""`laklak export --layout freqtrade`: what freqtrade's own data handlers read, to the last bit."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import polars
import pytest
from copies import BTC, candles, content, fill, sound

from laklak.model.series import Series
from laklak.transfer.freqtrade import NoPair, pair_of, place_of

SPOT = "binance_spot:ETHBTC:1h"
RECORDED = Path(__file__).parents[1] / "recorded"
PEERS = Path(__file__).parents[2] / "build" / "peers" / "bin" / "python"
# As freqtrade itself loads data; doubles are told by their bits.
READER = """
import json, sys
from pathlib import Path
from freqtrade.data.history.datahandlers.idatahandler import get_datahandlerclass
from freqtrade.enums import CandleType, TradingMode
from pyarrow.dataset import dataset
folder, form = Path(sys.argv[1]), sys.argv[2]
handler = get_datahandlerclass(form)(folder)
found = {}
for mode in (TradingMode.FUTURES, TradingMode.SPOT):
    for pair, timeframe, kind in handler.ohlcv_get_available_data(folder, mode):
        table = handler.ohlcv_load(pair, timeframe, kind, fill_missing=False, drop_incomplete=False)
        assert list(table.columns) == ["date", "open", "high", "low", "close", "volume"], table.columns
        times = table["date"].dt.as_unit("ms").astype("int64")
        values = [[value.hex() for value in table[name]] for name in table.columns[1:]]
        found[f"{pair} {timeframe} {kind}"] = [list(row) for row in zip(times.tolist(), *values)]
told = {}
if form == "feather":
    for path in folder.rglob("*.feather"):
        metadata = dataset(path, format=form).schema.metadata
        told[path.name] = {key.decode(): value.decode() for key, value in metadata.items() if key[:6] == b"laklak"}
print(json.dumps([found, told]))
"""

# What ccxt, which comes with freqtrade, calls every instrument of recorded listings, and whether freqtrade trades it.
SPELLER = """
import ccxt, gzip, json, sys
found = {}
for path in sys.argv[1:]:
    with gzip.open(path) as file:
        for entry in json.load(file)["symbols"]:
            market = ccxt.binanceusdm().parse_market(entry)
            found[entry["symbol"]] = [market["symbol"], market["swap"] is True and market["linear"] is True]
print(json.dumps(found))
"""


@pytest.fixture
def freqtrade():
    """What a program says, as JSON, that can import freqtrade."""
    python = sys.executable if find_spec("freqtrade") else str(PEERS)
    if not Path(python).exists():
        pytest.skip("freqtrade is not installed: benchmarks/peers/run.py makes build/peers with it")

    def run(program, *words):
        command = [python, "-c", program, *map(str, words)]
        return json.loads(subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout)

    return run


@pytest.fixture
def filled(clean_room):
    fill("candles.db", sound(BTC, [*range(10), *range(20, 30)]), sound(SPOT, range(5), price=1e-7))
    return "candles.db"


def export(here, *words):
    return here("export", *words, "--layout", "freqtrade", "--out", "user_data", "--store", "candles.db")


def expected(series):
    return content("candles.db")[0][series]


@pytest.mark.parametrize("form", ["feather", "parquet", "json"])
def test_files_have_the_places_names_and_columns_that_freqtrade_documents(form, filled, here):
    ended = export(here, "--format", form)

    futures = Path("user_data/binance/futures") / f"BTC_USDT_USDT-1m-futures.{form}"
    spot = Path("user_data/binance") / f"ETH_BTC-1h.{form}"
    assert ended.exit == 0
    assert sorted(path for path in Path("user_data").rglob("*.*")) == sorted([futures, spot])
    for path, series in ((futures, BTC), (spot, SPOT)):
        if form == "json":
            rows = [tuple(row) for row in json.loads(path.read_text())]
        else:
            table = polars.read_ipc(path) if form == "feather" else polars.read_parquet(path)
            assert dict(table.schema) == {"date": polars.Datetime("ms", "UTC")} | dict.fromkeys(
                ("open", "high", "low", "close", "volume"), polars.Float64
            )
            rows = table.with_columns(polars.col("date").dt.epoch("ms")).rows()
        assert rows == expected(series)


@pytest.mark.long
@pytest.mark.parametrize("form", ["feather", "parquet", "json"])
def test_a_real_freqtrade_reads_the_same_candles(form, filled, here, freqtrade):
    export(here, "--format", form)

    found, told = freqtrade(READER, "user_data/binance", form)

    assert set(found) == {"BTC/USDT:USDT 1m futures", "ETH/BTC 1h spot"}
    for rows, series in zip(found.values(), (BTC, SPOT), strict=True):
        read = [(row[0], *map(float.fromhex, row[1:])) for row in rows]
        # Its handler of JSON reads with pandas' quick reader, which may be off in the last bit.
        off = 1e-15 if form == "json" else 0
        assert [row[0] for row in read] == [row[0] for row in expected(series)]
        for one, other in zip(read, expected(series), strict=True):
            assert one == pytest.approx(other, rel=off, abs=0)
    # Arrow itself reads the metadata that polars could not write.
    if form == "feather":
        files = {"BTC_USDT_USDT-1m-futures.feather": BTC, "ETH_BTC-1h.feather": SPOT}
        assert {name: metadata["laklak.series"] for name, metadata in told.items()} == files


@pytest.mark.long
def test_every_perpetual_that_binance_has_listed_has_the_pair_that_ccxt_gives_it(freqtrade):
    listings = sorted((RECORDED / "binance" / "answers").glob("exchangeInfo-*.json.gz"))
    spelled = freqtrade(SPELLER, *listings)

    refused = set()
    for symbol, (pair, is_traded) in spelled.items():
        try:
            assert (pair_of(Series.parse(f"binance:{symbol}:1m")), is_traded) == (pair, True)
        except NoPair:
            refused.add(symbol)
    assert len(spelled) > 700
    assert refused - {symbol for symbol, (_, is_traded) in spelled.items() if not is_traded} == {"IDOL"}


@pytest.mark.parametrize(
    ("series", "pair", "place"),
    [
        ("binance:1000SHIBUSDT:5m", "1000SHIB/USDT:USDT", "binance/futures/1000SHIB_USDT_USDT-5m-futures.feather"),
        ("binance:ETHBTC:1m", "ETH/BTC:BTC", "binance/futures/ETH_BTC_BTC-1m-futures.feather"),
        ("binance:币安人生USDT:1m", "币安人生/USDT:USDT", "binance/futures/币安人生_USDT_USDT-1m-futures.feather"),
        ("binance_spot:USDTTRY:1d", "USDT/TRY", "binance/USDT_TRY-1d.feather"),
        ("binance_spot:BTCFDUSD:1m", "BTC/FDUSD", "binance/BTC_FDUSD-1m.feather"),
        ("bybit:BTCPERP:1m", "BTC/USDC:USDC", "bybit/futures/BTC_USDC_USDC-1m-futures.feather"),
        ("bybit:BTCUSDT:1m", "BTC/USDT:USDT", "bybit/futures/BTC_USDT_USDT-1m-futures.feather"),
        ("bybit:PERPUSDT:1m", "PERP/USDT:USDT", "bybit/futures/PERP_USDT_USDT-1m-futures.feather"),
        ("blofin:BTC-USDT:1m", "BTC/USDT:USDT", "blofin/futures/BTC_USDT_USDT-1m-futures.feather"),
        ("bitunix:BTCUSDT:1m", "BTC/USDT:USDT", "bitunix/futures/BTC_USDT_USDT-1m-futures.feather"),
        ("deribit:SOL_USDC-PERPETUAL:1m", "SOL/USDC:USDC", "deribit/futures/SOL_USDC_USDC-1m-futures.feather"),
    ],
)
def test_a_series_has_the_pair_that_ccxt_spells(series, pair, place):
    assert (pair_of(Series.parse(series)), str(place_of(Series.parse(series), "feather"))) == (pair, place)


@pytest.mark.parametrize(
    ("series", "why"),
    [
        ("binance:BTCUSDT_260327:1m", "contract that ends"),
        ("binance:IDOL:1m", "no quote that is known"),
        ("binance:USDT:1m", "no quote that is known"),
        ("bybit:BTC-27MAR26:1m", "contract that ends"),
        ("binance_coinm:BTCUSD_PERP:1m", "linear"),
        ("deribit:BTC-PERPETUAL:1m", "linear"),
        ("deribit:BTC-DVOL:1m", "linear"),
        ("yfinance:^GSPC:1m", "no exchange yfinance"),
        ("binance_spot:BTCAEUR:1m", "EUR and AEUR"),
    ],
)
def test_what_has_no_certain_pair_is_refused_with_its_reason(series, why):
    with pytest.raises(NoPair, match=why):
        pair_of(Series.parse(series))


def test_a_series_without_a_pair_is_refused_where_it_was_typed_and_else_left_out_and_named(filled, here):
    fill("candles.db", candles("deribit:BTC-PERPETUAL:1m", range(3)))

    typed = export(here, "deribit:BTC-PERPETUAL", BTC)
    assert (typed.exit, len(typed.lines("error"))) == (2, 1)
    assert "deribit:BTC-PERPETUAL:1m has no pair" in typed.lines("error")[0]
    assert not Path("user_data").exists()

    whole = export(here)
    assert (whole.exit, len(whole.lines("warning"))) == (0, 1)
    assert "deribit:BTC-PERPETUAL:1m (" in whole.lines("warning")[0]
    assert len(list(Path("user_data").rglob("*.feather"))) == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--format", "csv"), "none that freqtrade reads"),
        (("--layout", "jesse"), "--layout jesse is none"),
        (("--out", "-"), "--out - is none"),
        (("--out", "candles.db"), "--out candles.db is none"),
        (("--out", "nowhere/user_data"), "nowhere/user_data"),
    ],
)
def test_what_the_layout_cannot_be_is_one_line(words, said, filled, here):
    ended = here("export", BTC, "--layout", "freqtrade", *words, "--store", "candles.db")

    assert (ended.exit, len(ended.lines("error"))) == (2, 1)
    assert said in ended.lines("error")[0]
    assert ended.lines("hint")


@pytest.mark.parametrize("form", ["feather", "parquet"])
def test_its_files_come_back(form, filled, here):
    export(here, BTC, "--format", form)

    path = f"user_data/binance/futures/BTC_USDT_USDT-1m-futures.{form}"
    ended = here("import", path, "--store", "back.db")

    assert ended.exit == 0
    assert content("back.db")[0] == {BTC: expected(BTC)}
