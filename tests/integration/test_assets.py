"""Which series are filled: lists, typed symbols, ended ones, ones the venue refuses."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from laklak.simulator import Override, SymbolOverride, generate
from laklak.simulator.dialects.binance import KLINES

DAY = ("--days", "1")
DAY_MS = 86_400_000
END_MS = 1_772_323_200_000


def test_without_symbols_assets_txt_of_the_folder_says_which(venue, here, stored):
    venue()
    Path("assets.txt").write_text("# mine\nLTCUSDT binance  # a remark\nbinance:DOTUSDT\nLTCUSDT binance\n")
    ended = here("backfill", *DAY)
    assert ended.exit == 0
    assert "assets: assets.txt (found in this folder): 2 symbols" in ended.err
    assert {symbol for symbol, _ in stored()} == {"LTCUSDT", "DOTUSDT"}


def test_a_list_can_be_named(venue, here, stored, tmp_path):
    venue()
    Path("assets.txt").write_text("LTCUSDT binance\n")
    path = tmp_path / "other.txt"
    path.write_text("DOTUSDT binance\r\n")
    ended = here("backfill", *DAY, "--assets", path)
    assert ended.exit == 0
    assert "other.txt (given)" in ended.err
    assert {symbol for symbol, _ in stored()} == {"DOTUSDT"}


def test_without_any_list_the_packaged_one_is_used_and_said(venue, here, monkeypatch):
    venue()
    monkeypatch.setenv("LAKLAK_YFINANCE_ENABLED", "off")
    ended = here("backfill", *DAY, "-n", "--json")
    assert "the list that comes with laklak" in ended.err
    assert "541 symbols" in ended.err
    # The recording has seven symbols; what nobody knows of a list that nobody chose is no failure.
    assert (ended.json["series"], ended.json["failed_series"]) == (7, [])
    (unknown,) = [line for line in ended.lines("warning") if "does not know" in line]
    assert "of the list that comes with laklak: " in unknown
    assert unknown.endswith("and 526 more")
    assert "6 symbols of yfinance skipped" in ended.err


@pytest.mark.parametrize("by", ["--config", "LAKLAK_CONFIG", "laklak.toml", "the user's folder"])
def test_the_list_beside_the_settings_file_in_use_counts(by, venue, here, stored, tmp_path, monkeypatch):
    venue()
    folder = {"laklak.toml": Path(), "the user's folder": tmp_path / "home/config/laklak"}.get(by, tmp_path / "mine")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "laklak.toml").write_text("days = 1\n")
    (folder / "assets.txt").write_text("DOTUSDT binance\n")
    if by == "LAKLAK_CONFIG":
        monkeypatch.setenv(by, str(folder / "laklak.toml"))
    ended = here("backfill", *(("--config", folder / "laklak.toml") if by == "--config" else ()))
    assert ended.exit == 0
    assert {symbol for symbol, _ in stored()} == {"DOTUSDT"}


def test_the_list_of_this_folder_comes_before_the_one_beside_the_settings_file(venue, here, stored, tmp_path):
    venue()
    (tmp_path / "mine.toml").write_text("days = 1\n")
    (tmp_path / "assets.txt").write_text("DOTUSDT binance\n")
    Path("assets.txt").write_text("LTCUSDT binance\n")
    assert here("backfill", "--config", tmp_path / "mine.toml").exit == 0
    assert {symbol for symbol, _ in stored()} == {"LTCUSDT"}


def test_the_packaged_list_for_a_store_of_other_series_is_a_warning(venue, here, monkeypatch):
    monkeypatch.setenv("LAKLAK_YFINANCE_ENABLED", "off")
    venue()
    assert here("backfill", "LTCUSDT", *DAY).exit == 0
    (warning,) = [line for line in here("backfill", *DAY, "-n").lines("warning") if "though the store" in line]
    assert "the store holds only 1 of its 541 symbols; 540 symbols would be new in it" in warning
    assert "assets.txt" in warning
    checked = here("check", "--json").json["findings"]
    assert warning in [one["text"] for one in checked if (one["about"], one["verdict"]) == ("assets", "warning")]


def test_a_series_that_is_not_on_the_packaged_list_is_named(venue, here, monkeypatch):
    monkeypatch.setenv("LAKLAK_YFINANCE_ENABLED", "off")
    venue(generate(symbols=3, days=1))
    assert here("backfill", "SIM0003USDT", "--days", "1").exit == 0
    warnings = here("backfill", *DAY, "-n").lines("warning")
    assert any("holds other series: binance:SIM0003USDT; 541 symbols would be new" in line for line in warnings)


@pytest.mark.parametrize("words", [("LTCUSDT",), ("--assets", "mine.txt")])
def test_symbols_that_somebody_chose_are_no_warning(words, venue, here):
    venue()
    Path("mine.txt").write_text("LTCUSDT binance\n")
    assert here("backfill", "DOTUSDT", *DAY).exit == 0
    assert here("backfill", *words, *DAY).lines("warning") == []


# config.py of older scripts


OLD = "INFLUXDB_HOST = 'db.lan'\nINFLUXDB_PORT = 8086\nINFLUXDB_USERNAME = None\nINFLUXDB_PASSWORD = 'hunter2'\n"


def test_config_py_of_older_scripts_is_named_with_the_lines_for_dotenv(venue, here):
    venue()
    Path("config.py").write_text(OLD)
    ended = here("backfill", "LTCUSDT", *DAY)
    assert ended.exit == 0
    assert "  INFLUXDB_HOST=db.lan\n  INFLUXDB_PORT=8086\n  INFLUXDB_PASSWORD=...\n" in ended.err
    (warning,) = ended.lines("warning")
    assert warning.startswith(f"config.py in this folder is not read, and nothing names a store: it is {Path.cwd()}")
    (found,) = [one for one in here("check", "--json").json["findings"] if "config.py" in one["text"]]
    assert "INFLUXDB_HOST=db.lan INFLUXDB_PORT=8086 INFLUXDB_PASSWORD=..." in found["hint"]
    assert "hunter2" not in ended.err + str(found)


def test_show_names_config_py_where_there_is_no_store(here):
    Path("config.py").write_text(OLD)
    ended = here("show", "LTCUSDT")
    assert (ended.exit, ended.lines("error")) == (2, [f"there is no store sqlite:///{Path.cwd()}/laklak.db"])
    assert "put these lines into .env: INFLUXDB_HOST=db.lan INFLUXDB_PORT=8086" in ended.lines("hint")[0]


def test_config_py_is_not_spoken_of_where_a_store_is_named(venue, here):
    venue()
    Path("config.py").write_text(OLD)
    assert "config.py" not in here("backfill", "LTCUSDT", *DAY, "--store", "a.db").err


def test_a_venue_that_is_not_built_yet_is_one_warning_and_exit_0(venue, here):
    venue()
    Path("assets.txt").write_text("LTCUSDT binance\nBTC=F hyperliquid\n^GSPC hyperliquid\nBTCUSDT okx\n")
    ended = here("backfill", *DAY)
    assert ended.exit == 0
    assert [line.split(" skipped")[0] for line in ended.lines("warning")] == [
        "2 symbols of hyperliquid",
        "1 symbol of okx",
    ]


def test_an_unknown_venue_in_one_line_costs_that_line_alone(venue, here, check_sum, stored):
    venue()
    Path("assets.txt").write_text("LTCUSDT binance\nBTCUSDT kraken\nDOT/USDT binance\nAVAXUSDT binance+huobi\n")
    ended = here("backfill", *DAY, "--json")
    answer = check_sum(ended.json)
    assert (ended.exit, answer["complete"], answer["series"]) == (1, False, 5)
    assert [(one["series"], one["reason"]) for one in answer["failed_series"]] == [
        ("assets.txt:2", "unknown_venue"),
        ("assets.txt:3", "spot_symbol"),
        ("assets.txt:4", "unknown_venue"),
    ]
    assert "assets.txt:2: left out: unknown venue 'kraken'" in ended.lines("warning")[0]
    assert {symbol for symbol, _ in stored()} == {"LTCUSDT", "AVAXUSDT"}
    assert "assets.txt:2: left out" in here("backfill", *DAY, "-n").lines("warning")[0]


def test_a_list_of_which_nothing_is_left_is_exit_2(venue, here):
    running = venue()
    Path("assets.txt").write_text("BTC=F hyperliquid\nBTCUSDT okx\n")
    ended = here("backfill", *DAY)
    assert ended.exit == 2
    assert (
        "nothing is left of it: 1 symbol of hyperliquid skipped: this venue is not built yet, 1 symbol of okx"
        in ended.lines("error")[0]
    )
    Path("assets.txt").write_text("BTC=F hyperliquid\nBTCUSDT kraken\n")
    assert here("backfill", *DAY).exit == 2
    assert running.hits == []


def test_check_names_the_line_and_is_no_problem(venue, here):
    venue()
    Path("assets.txt").write_text("LTCUSDT binance\nBTCUSDT kraken\n")
    ended = here("check", "--json")
    (found,) = [one for one in ended.json["findings"] if "kraken" in one["text"]]
    assert (ended.exit, found["about"], found["verdict"]) == (0, "assets", "warning")


def test_assets_csv_is_read_as_it_is(venue, here, stored):
    venue()
    Path("assets.csv").write_text("symbol,ohlc_exchanges,funding\nLTCUSDT,binance+okx,\nDOT USDT,binance,binance\n")
    ended = here("backfill", *DAY, "--assets", "assets.csv")
    assert ended.exit == 0
    assert {symbol for symbol, _ in stored()} == {"LTCUSDT", "DOTUSDT"}


@pytest.mark.parametrize("typed", ["ltcusdt", "LTC/USDT:USDT", "BINANCE:LTCUSDT.P", "binance:ltc/usdt:usdt"])
def test_a_symbol_may_be_typed_as_other_tools_spell_it(typed, venue, here, stored):
    venue()
    assert here("backfill", typed, *DAY).exit == 0
    assert {symbol for symbol, _ in stored()} == {"LTCUSDT"}
    assert here("show", typed).exit == 0
    assert here("copy", "sqlite:///laklak.db", "other.db", typed).exit == 0


@pytest.mark.parametrize(
    ("typed", "right"), [("LTC/USDT", "LTCUSDT"), ("LTC-USDT", "LTCUSDT"), ("BINANCE:LTCUSDT", "binance:LTCUSDT")]
)
def test_what_means_spot_elsewhere_is_refused_with_the_right_spelling(typed, right, venue, here):
    running = venue()
    for words in (("backfill", typed, *DAY), ("show", typed)):
        ended = here(*words)
        assert ended.exit == 2
        assert f"{typed!r} means the spot market" in ended.lines("error")[0]
        assert right in ended.lines("hint")[0]
        assert ended.lines("hint")[0].endswith("spot is the venue binance_spot")
    assert running.hits == []


def test_a_listed_symbol_the_venue_does_not_know_fails_alone(venue, here, check_sum, stored):
    venue()
    Path("assets.txt").write_text("LTCUSDT binance\nLTCUSD binance\n")
    ended = here("backfill", *DAY, "--json")
    answer = check_sum(ended.json)
    assert (ended.exit, answer["complete"], answer["wanted"], answer["written"]) == (1, False, 1440, 1440)
    (failed,) = answer["failed_series"]
    assert failed["series"] == "binance:LTCUSD:1m"
    assert failed["reason"] == "unknown_symbol"
    assert "LTCUSDT" in failed["detail"]
    assert len(stored()) == 1440
    assert here("backfill", *DAY).exit == 1


def test_an_unknown_listed_symbol_makes_a_dry_run_tell_it_too(venue, here):
    venue()
    Path("assets.txt").write_text("LTCUSDT binance\nLTCUSD binance\n")
    ended = here("backfill", *DAY, "-n")
    assert "binance does not know: binance:LTCUSD:1m" in ended.lines("warning")


@pytest.mark.parametrize("typed", [True, False])
def test_a_symbol_that_has_ended_is_clipped_with_one_warning_and_exit_0(typed, venue, here, check_sum, stored, truth):
    last_ms = END_MS - DAY_MS
    venue(overrides={"LTCUSDT": SymbolOverride(delivery_ms=last_ms, status="SETTLING")})
    Path("assets.txt").write_text("LTCUSDT binance\nDOTUSDT binance\n")
    ended = here("backfill", *(("LTCUSDT", "DOTUSDT") if typed else ()), "--days", "2", "--json")
    answer = check_sum(ended.json)
    assert (ended.exit, answer["complete"], answer["wanted"]) == (0, True, 1440 + 2880)
    assert answer["ended_series"] == [
        {"series": "binance:LTCUSDT:1m", "ended": "2026-02-28T00:00Z", "status": "SETTLING"}
    ]
    assert answer["failed_series"] == []
    (warning,) = ended.lines("warning")
    assert warning == "LTCUSDT: no candle since 2026-02-28T00:00Z (SETTLING)"
    expected = truth(["LTCUSDT"], END_MS - 2 * DAY_MS, last_ms) | truth(["DOTUSDT"], END_MS - 2 * DAY_MS)
    assert stored() == expected
    again = here("backfill", "LTCUSDT", "DOTUSDT", "--days", "2", "--json")
    # Whether candles have come again.
    assert (again.exit, again.json["candle_requests"]) == (0, 1)


def test_a_symbol_that_ended_before_the_range_wants_nothing(venue, here, check_sum):
    running = venue(overrides={"LTCUSDT": SymbolOverride(delivery_ms=END_MS - 3 * DAY_MS)})
    ended = here("backfill", "LTCUSDT", *DAY, "--json")
    assert (ended.exit, check_sum(ended.json)["wanted"]) == (0, 0)
    # For its newest candle, and for that of another symbol.
    assert [hit.query["limit"] for hit in running.candle_hits] == ["1", "1"]


def test_a_symbol_that_will_end_later_is_no_warning(venue, here):
    venue(overrides={"LTCUSDT": SymbolOverride(delivery_ms=END_MS + DAY_MS)})
    ended = here("backfill", "LTCUSDT", *DAY, "--json")
    assert (ended.exit, ended.lines("warning"), ended.json["ended_series"]) == (0, [], [])


def test_a_symbol_listed_in_the_range_wants_only_what_is_after_that(venue, here, check_sum, stored, truth):
    # 90 s into a minute: the first whole candle begins with the next one.
    onboard_ms = END_MS - DAY_MS + 90_000
    running = venue(overrides={"LTCUSDT": SymbolOverride(onboard_ms=onboard_ms)})
    ended = here("backfill", "LTCUSDT", "--days", "3", "--json")
    assert (ended.exit, check_sum(ended.json)["wanted"]) == (0, 1438)
    assert stored() == truth(["LTCUSDT"], END_MS - DAY_MS + 120_000)
    first, held, *pages = [hit.query for hit in running.candle_hits]
    assert (first["startTime"], held["limit"]) == ("0", "2")
    assert min(int(query["startTime"]) for query in pages) == END_MS - DAY_MS + 120_000


def test_a_refused_status_is_missing_and_the_others_go_on(venue, here, check_sum, stored):
    running = venue(overrides={"LTCUSDT": SymbolOverride(delisted=True)})
    ended = here("backfill", "LTCUSDT", "DOTUSDT", "--days", "4", "--json", "--workers", "2")
    answer = check_sum(ended.json)
    assert (ended.exit, answer["missing"], answer["written"], answer["holes"]) == (1, 5760, 5760, 0)
    (failed,) = answer["failed_series"]
    assert (failed["series"], failed["reason"]) == ("binance:LTCUSDT:1m", "symbol_status")
    assert "-1122" in failed["detail"]
    assert {symbol for symbol, _ in stored()} == {"DOTUSDT"}
    # It is not asked page by page: what was on the wire at the first refusal is all.
    assert Counter(hit.query["symbol"] for hit in running.candle_hits)["LTCUSDT"] <= 3
    assert len([line for line in ended.lines("warning") if "LTCUSDT" in line]) == 1


def test_many_workers_do_not_make_many_warnings_of_one_refusal(venue, here):
    venue(overrides={"LTCUSDT": SymbolOverride(delisted=True)}, latency_s=0.1)
    ended = here("backfill", "LTCUSDT", "--days", "4", "--chunk", "99")
    assert ended.exit == 1
    assert len(ended.lines("warning")) == 1


def test_a_venue_name_before_the_symbol_wins_over_the_setting(venue, here):
    venue()
    assert here("backfill", "binance:LTCUSDT", *DAY, "--json").json["written"] == 1440


def test_settings_come_from_toml_dotenv_environment_and_flags_in_that_order(venue, here, monkeypatch):
    running = venue()
    monkeypatch.delenv("LAKLAK_BINANCE_URL")
    Path("laklak.toml").write_text(f'days = 4\nstore = "from-toml.db"\n[binance]\nchunk = 99\nurl = "{running.url}"\n')
    Path(".env").write_text("LAKLAK_BINANCE_CHUNK=499\nLAKLAK_STORE=from-dotenv.db\n")
    monkeypatch.setenv("LAKLAK_STORE", "from-environment.db")
    ended = here("backfill", "LTCUSDT", *DAY, "--json")
    assert (ended.exit, ended.json["wanted"], ended.json["store"]) == (
        0,
        1440,
        f"sqlite:///{Path.cwd()}/from-environment.db",
    )
    assert {hit.query["limit"] for hit in running.candle_hits} == {"499", "442"}


def test_a_path_in_a_settings_file_starts_at_that_file(venue, here, tmp_path):
    venue()
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "mine.toml").write_text('store = "here.db"\nassets = "list.txt"\ndays = 1\n')
    (folder / "list.txt").write_text("DOTUSDT binance\n")
    assert here("backfill", "--config", folder / "mine.toml").exit == 0
    assert (folder / "here.db").exists()


def test_a_refusal_with_code_minus_1121_of_a_listed_symbol_is_missing(venue, here, check_sum):
    body = b'{"code":-1121,"msg":"Invalid symbol."}'
    venue(script=lambda path, query, number: Override(status=400, body=body) if path == KLINES else None)
    ended = here("backfill", "LTCUSDT", *DAY, "--json")
    answer = check_sum(ended.json)
    assert (ended.exit, answer["missing"]) == (1, 1440)
    assert answer["failed_series"][0]["reason"] == "unknown_symbol"


# laklak assets


def perpetuals(venue, *names, **more):
    """List them as Binance lists perpetuals."""
    for name in names:
        quote = "USDC" if name.endswith("USDC") else "USDT"
        symbol = venue.list(name, first="2026-03-01T00:00", **more)
        symbol.entry |= {"contractType": "PERPETUAL", "quoteAsset": quote, "underlyingType": "COIN"}


@pytest.fixture
def trading(liar):
    """A venue with three perpetuals that trade, one that does not, a contract that ends, and one on shares."""
    venue = liar("2026-03-03T12:00:30")
    perpetuals(venue, "BBBUSDT", "AAAUSDT", "AAAUSDC")
    perpetuals(venue, "OLDUSDT", status="SETTLING")
    perpetuals(venue, "AAAUSDT_260327", "TSLAUSDT")
    venue.symbols["AAAUSDT_260327"].entry["contractType"] = "CURRENT_QUARTER"
    venue.symbols["TSLAUSDT"].entry |= {"contractType": "TRADIFI_PERPETUAL", "underlyingType": "EQUITY"}
    return venue


def test_assets_list_prints_the_perpetuals_that_trade(trading, here):
    assert here("assets", "list").out.split("\n") == [
        "AAAUSDC binance",
        "AAAUSDT binance",
        "BBBUSDT binance",
        "TSLAUSDT binance",
        "",
    ]
    assert here("assets", "list", "--quote", "usdc").out == "AAAUSDC binance\n"
    answer = here("assets", "list", "--json", "--quote", "USDT").json
    assert (answer["schema"], answer["venue"], answer["error"]) == (1, "binance", None)
    assert [(one["symbol"], one["quote"], one["underlying"]) for one in answer["symbols"]] == [
        ("AAAUSDT", "USDT", "COIN"),
        ("BBBUSDT", "USDT", "COIN"),
        ("TSLAUSDT", "USDT", "EQUITY"),
    ]


def test_assets_list_of_what_there_is_not_is_exit_2(trading, here):
    ended = here("assets", "list", "--quote", "EUR", "--json")
    assert (ended.exit, ended.json["symbols"]) == (2, [])
    assert "no perpetual that is quoted in EUR" in ended.json["error"]
    assert ended.json["hint"] == "there is USDC, USDT"
    assert here("assets", "list", "--venue", "okx").exit == 2


def test_assets_refresh_writes_the_list_in_use_and_keeps_what_is_not_of_the_venue(trading, here):
    Path("assets.txt").write_text("# mine\nBBBUSDT binance # kept\n^GSPC yfinance\nOLDUSDT binance\n")
    ended = here("assets", "refresh", "--quote", "USDT")
    assert ended.exit == 0
    assert Path("assets.txt").read_text() == (
        "# mine\nBBBUSDT binance # kept\n^GSPC yfinance\nAAAUSDT binance\nTSLAUSDT binance\n"
    )
    assert ended.lines("warning") == ["1 symbol removed: OLDUSDT"]
    before = Path("assets.txt").stat()
    assert here("assets", "refresh", "--quote", "USDT").exit == 0
    assert Path("assets.txt").stat() == before


def test_assets_refresh_makes_a_list_where_only_the_packaged_one_was(trading, here):
    assert here("assets", "refresh").exit == 0
    assert Path("assets.txt").read_text().split("\n")[0] == "AAAUSDC binance"
    assert here("assets", "refresh", "other.txt", "--quote", "USDC").exit == 0
    assert Path("other.txt").read_text() == "AAAUSDC binance\n"


def test_a_listing_that_lacks_a_symbol_once_costs_no_line(trading, here):
    Path("assets.txt").write_text("AAAUSDT binance\n")
    answers = []

    def without(entries):
        answers.append(entries)
        kept = [one for one in entries if one["symbol"] != "AAAUSDT"] if len(answers) == 1 else entries
        return {"symbols": kept}

    trading.tell_listing = without
    ended = here("assets", "refresh")
    assert (ended.exit, ended.lines("warning"), len(answers)) == (0, [], 2)
    assert "AAAUSDT binance\n" in Path("assets.txt").read_text()


def test_assets_refresh_leaves_everything_as_it_is_where_the_venue_does_not_answer(trading, here):
    Path("assets.txt").write_text("AAAUSDT binance\n")
    trading.tell = lambda asked: (400, b'{"code":-1100,"msg":"no"}')
    assert here("assets", "refresh").exit == 2
    assert Path("assets.txt").read_text() == "AAAUSDT binance\n"


def test_assets_refresh_does_not_write_into_a_table(trading, here):
    Path("assets.csv").write_text("symbol,ohlc_exchanges\nAAAUSDT,binance\n")
    ended = here("assets", "refresh", "assets.csv")
    assert ended.exit == 2
    assert "laklak assets convert assets.csv" in ended.lines("hint")[0]


def test_assets_check_finds_unknown_ended_doubled_and_bad_lines(trading, here):
    Path("assets.txt").write_text(
        "AAAUSDT binance\nNOPEUSDT binance\nOLDUSDT binance\nbinance:aaausdt\nBTC=F okx\nA kraken\nB\n"
    )
    ended = here("assets", "check")
    assert ended.exit == 1
    lines = [line.split(";")[0] for line in ended.out.splitlines()]
    assert lines == [
        "assets.txt: 3 symbols of binance",
        "assets.txt: 1 symbol of okx (not built yet)",
        "assets.txt:2: binance does not list NOPEUSDT",
        "assets.txt:3: binance does not trade OLDUSDT any more (SETTLING)",
        "assets.txt:4: AAAUSDT binance stands here once more",
        "assets.txt:6: unknown venue 'kraken', expected 'SYMBOL VENUE'",
        "assets.txt:7: 'B' does not say its venue, expected 'SYMBOL VENUE'",
    ]
    answer = here("assets", "check", "--json").json
    assert (answer["venues"], answer["exit"]) == ({"binance": 3, "okx": 1}, 1)
    assert answer["ended"] == [{"symbol": "OLDUSDT", "venue": "binance", "line": 3, "status": "SETTLING"}]
    assert [one["line"] for one in answer["bad"]] == [6, 7]
    Path("sound.txt").write_text("AAAUSDT binance\n")
    assert here("assets", "check", "sound.txt").exit == 0


def test_assets_convert_makes_a_list_that_can_be_used(trading, here):
    Path("assets.csv").write_text("symbol,ohlc_exchanges\nAAA USDT,binance+okx\nBBBUSDT\nCUSDT,kraken\n")
    ended = here("assets", "convert", "assets.csv")
    assert ended.exit == 1
    assert ended.out == "AAAUSDT binance\nAAAUSDT okx\nBBBUSDT binance\n# left out: CUSDT,kraken\n"
    assert ended.lines("warning")[0].startswith("assets.csv:4: left out: unknown venue 'kraken'")
    Path("assets.txt").write_text(ended.out)
    assert here("backfill", *DAY).exit == 0


# backfill --all


SHORT = ("--start", "2026-03-03T11:50")


def symbols_of(stored):
    return {symbol for symbol, _ in stored()}


def test_all_takes_every_perpetual_that_trades(trading, here, check_sum, stored):
    ended = here("backfill", "--all", *SHORT, "--json")
    assert (ended.exit, check_sum(ended.json)["series"]) == (0, 4)
    assert "assets: all that binance trades: 4 perpetuals\n" in ended.err
    assert symbols_of(stored) == {"AAAUSDC", "AAAUSDT", "BBBUSDT", "TSLAUSDT"}


def test_all_of_one_quote(trading, here, stored):
    assert here("backfill", "--all", "--quote", "usdc", *SHORT).exit == 0
    assert symbols_of(stored) == {"AAAUSDC"}
    ended = here("backfill", "--all", "--quote", "EUR", *SHORT)
    assert (ended.exit, ended.lines("hint")) == (2, ["there is USDC, USDT"])


@pytest.mark.parametrize("listed", [True, False])
def test_all_gives_a_delisted_symbol_that_the_store_holds_its_last_hours(listed, trading, here, stored):
    perpetuals(trading, "ENDUSDT")
    assert here("backfill", "ENDUSDT", "AAAUSDC", "--start", "2026-03-03T11:30", "--end", "2026-03-03T11:40").exit == 0
    end_ms = END_MS + 2 * DAY_MS + 11 * 3_600_000 + 54 * 60_000
    trading.symbols["ENDUSDT"].last_ms = end_ms
    trading.symbols["ENDUSDT"].listed = listed
    trading.symbols["ENDUSDT"].entry["status"] = "SETTLING"
    ended = here("backfill", "--all", "--quote", "USDT", "--start", "2026-03-03T11:30")
    assert "3 perpetuals, and 1 more that the store holds\n" in ended.err
    assert max(time_ms for symbol, time_ms in stored() if symbol == "ENDUSDT") == end_ms
    # Of another quote is what is held too.
    assert sum(symbol == "AAAUSDC" for symbol, _ in stored()) == 10


def test_all_is_not_ended_by_what_is_held_and_nobody_knows_any_more(trading, here):
    perpetuals(trading, "ENDUSDT")
    assert here("backfill", "ENDUSDT", *SHORT).exit == 0
    del trading.symbols["ENDUSDT"]
    ended = here("backfill", "--all", *SHORT)
    assert ended.exit == 0
    assert any(line.startswith("binance does not know, of what the store holds: ") for line in ended.lines("warning"))


def test_a_listing_that_lacks_a_symbol_once_does_not_cost_it(trading, here, stored):
    perpetuals(trading, "NEWUSDT")
    assert here("backfill", "BBBUSDT", *SHORT).exit == 0
    answers = []

    def without(entries):
        answers.append(entries)
        return {"symbols": [one for one in entries if one["symbol"] != "NEWUSDT" or len(answers) > 1]}

    trading.tell_listing = without
    assert here("backfill", "--all", *SHORT).exit == 0
    assert "NEWUSDT" in symbols_of(stored)


@pytest.mark.parametrize("words", [("--all", "AAAUSDT"), ("--all", "--assets", "a.txt"), ("--quote", "USDT")])
def test_all_is_all_or_nothing(words, trading, here):
    ended = here("backfill", *words, *SHORT)
    assert ended.exit == 2
    assert "--all" in ended.lines("error")[0]
    assert trading.hits == []


def test_where_the_region_is_refused_all_is_what_the_store_holds(archive, here, stored):
    refused = archive(script=lambda *_: Override(fault="451"))
    ended = here("backfill", "--all", *DAY)
    assert ended.exit == 2
    assert "cannot be asked what it trades, and the store holds nothing of it" in ended.lines("error")[0]
    archive()
    assert here("backfill", "LTCUSDT", "--days", "1").exit == 0
    archive(script=lambda hit, *_: Override(fault="451") if hit.startswith("/fapi") else None)
    ended = here("backfill", "--all", "--days", "2", "--other-address")
    assert "binance cannot be asked what it trades: only what the store holds is taken" in ended.lines("warning")
    assert symbols_of(stored) == {"LTCUSDT"}
    assert refused.candle_hits == []
