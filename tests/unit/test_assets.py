"""Asset lists: what a line may say, errors that name the line, and the list the project ships."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from laklak.errors import AssetsError
from laklak.model.series import check_symbol
from laklak.settings.assets import MAX_BYTES, Asset, AssetList, find_assets, read_assets
from laklak.settings.spelling import one_word_symbol
from laklak.venues import PLANNED, VENUES

SPELLED = {"binance": one_word_symbol}
VENUE_NAMES = ("binance", "bybit", "yfinance")
SHIPPED = Path(__file__).parents[2] / "assets.txt"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def read(folder: Path, content: str | bytes) -> list[Asset]:
    path = folder / "assets.txt"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return list(read_assets(path, VENUE_NAMES, SPELLED).assets)


def error_of(folder: Path, content: str | bytes) -> AssetsError:
    with pytest.raises(AssetsError) as caught:
        read(folder, content)
    return caught.value


# Lines


@pytest.mark.parametrize(
    ("line", "symbol", "venue"),
    [
        ("BTCUSDT binance", "BTCUSDT", "binance"),
        ("\t BTCUSDT \t binance  ", "BTCUSDT", "binance"),
        ("binance:BTCUSDT", "BTCUSDT", "binance"),
        ("BTCUSDT binance # the first one", "BTCUSDT", "binance"),
        ("BTCUSDT binance\t#tab", "BTCUSDT", "binance"),
        ("A#1 binance", "A#1", "binance"),
        ("币安人生USDT binance", "币安人生USDT", "binance"),
        ("binance:币安人生USDT", "币安人生USDT", "binance"),
        ("^GSPC yfinance", "^GSPC", "yfinance"),
        ("yfinance:BTC=F", "BTC=F", "yfinance"),
        ("BRK.B yfinance", "BRK.B", "yfinance"),
    ],
)
def test_a_line_names_a_symbol_and_its_venue(folder: Path, line: str, symbol: str, venue: str) -> None:
    assert read(folder, line) == [Asset(symbol, venue, 1)]


def test_comments_and_blank_lines_count_as_lines_only(folder: Path) -> None:
    assets = read(folder, "# list\n\n   # indented\nBTCUSDT binance\n\n \nETHUSDT bybit")

    assert assets == [Asset("BTCUSDT", "binance", 4), Asset("ETHUSDT", "bybit", 7)]


def test_a_byte_order_mark_and_crlf_do_not_matter(folder: Path) -> None:
    assets = read(folder, b"\xef\xbb\xbfBTCUSDT binance\r\n\r\nETHUSDT binance\r\n")

    assert assets == [Asset("BTCUSDT", "binance", 1), Asset("ETHUSDT", "binance", 3)]


def test_a_symbol_of_a_venue_is_kept_once_where_it_came_first(folder: Path) -> None:
    assets = read(folder, "B binance\nA binance\nbinance:B\nB bybit\n")

    assert assets == [Asset("B", "binance", 1), Asset("A", "binance", 2), Asset("B", "bybit", 4)]


# Bad lines


@pytest.mark.parametrize(
    ("line", "message", "hint"),
    [
        ("BTCUSDT", "'BTCUSDT' does not say its venue", "add the venue"),
        ("BTCUSDT,binance,", "'BTCUSDT,binance,' does not say its venue", "not by a comma"),
        ("BTCUSDT binance 1m", "'BTCUSDT binance 1m' has 3 words", "one symbol a line"),
        ("binance:", "a symbol cannot be empty", None),
        ("BTC/EUR/X binance", "symbol 'BTC/EUR/X' holds '/'", None),
        ("A..B binance", "symbol 'A..B' holds '..'", None),
        ("'BTC' binance", 'holds "\'"', None),
        ("\x00\x00 binance", "holds '\\x00'", None),
        ("\x1b[2JBTC binance", "holds '\\x1b'", None),
        ("A\u200bB binance", "holds '\\u200b'", None),
        ("X" * 41 + " binance", "has 41 characters; at most 40", None),
        ("y" * 5000, "does not say its venue", None),
        ("\x1b[31m", "'\\x1b[31m' does not say its venue", None),
    ],
)
def test_a_bad_line_is_named_with_its_number(folder: Path, line: str, message: str, hint: str | None) -> None:
    error = error_of(folder, f"# list\nETHUSDT binance\n{line}\n")

    assert str(error).startswith("assets.txt:3: ")
    assert message in str(error)
    assert str(error).endswith("expected 'SYMBOL VENUE'")
    assert str(error).isprintable()
    assert len(str(error)) < 250
    assert hint is None or hint in (error.hint or "")
    assert error.exit_code == 2


@pytest.mark.parametrize(
    ("content", "line", "byte"),
    [
        (b"A binance\nB\xfc binance\n", 2, "fc"),
        ("A binance\n".encode("utf-16"), 1, "ff"),
        (b"A binance\n\n\nB\xe5\xb8", 4, "e5"),
    ],
)
def test_bytes_that_are_not_utf8_are_named_with_their_line(folder: Path, content: bytes, line: int, byte: str) -> None:
    error = error_of(folder, content)

    assert str(error) == f"assets.txt:{line}: byte 0x{byte} is not UTF-8 text"
    assert error.hint == "save the file as UTF-8"


@given(content=st.binary(max_size=200))
def test_any_bytes_give_assets_or_one_clear_error(content: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "any-bytes.txt"
    path.write_bytes(content)

    try:
        assets = read_assets(path, VENUE_NAMES).assets
    except AssetsError as error:
        assert str(error).isprintable()  # noqa: PT017 - either outcome is fine, an unclear error is not
    else:
        assert all(check_symbol(asset.symbol) and asset.venue in VENUE_NAMES for asset in assets)


# Lines that are left out


def lines_left_out(folder: Path, content: str, name: str = "assets.txt") -> list[tuple[int, str, str]]:
    (folder / name).write_text(content)
    read = read_assets(folder / name, VENUE_NAMES, SPELLED)
    assert read.assets
    return [(one.line, one.reason, str(one)) for one in read.bad]


@pytest.mark.parametrize(
    ("line", "reason", "text", "hint"),
    [
        ("BTCUSDT binanse", "unknown_venue", "unknown venue 'binanse'", "did you mean binance?"),
        ("BTCUSDT Binance", "unknown_venue", "unknown venue 'Binance'", "did you mean binance?"),
        ("BTCUSDT kraken", "unknown_venue", "unknown venue 'kraken'", "known venues: binance, bybit, yfinance"),
        (":BTCUSDT", "unknown_venue", "unknown venue ''", "known venues"),
        ("AI USDT", "unknown_venue", "unknown venue 'USDT'", "as in AIUSDT binance"),
        ("BTC/USDT binance", "spot_symbol", "'BTC/USDT' means the spot market", "the perpetual is written BTCUSDT"),
        ("BTC-USDT binance", "spot_symbol", "'BTC-USDT' means the spot market", "the perpetual is written BTCUSDT"),
        ("BINANCE:BTCUSDT", "spot_symbol", "'BINANCE:BTCUSDT' means the spot", "is written binance:BTCUSDT"),
    ],
)
def test_a_line_for_nobody_here_is_left_out_and_named(
    folder: Path, line: str, reason: str, text: str, hint: str
) -> None:
    (bad,) = lines_left_out(folder, f"# list\nETHUSDT binance\n{line}\n")

    assert bad[:2] == (3, reason)
    assert text in bad[2]
    assert hint in bad[2]
    assert bad[2].isprintable()


def test_of_several_venues_in_a_line_only_the_unknown_one_is_left_out(folder: Path) -> None:
    assert read(folder, "BTCUSDT binance+bybit") == [Asset("BTCUSDT", "binance", 1), Asset("BTCUSDT", "bybit", 1)]
    assert [bad[:2] for bad in lines_left_out(folder, "BTCUSDT binance+kraken")] == [(1, "unknown_venue")]


def test_a_list_of_which_nothing_is_left_is_an_error_with_its_first_line(folder: Path) -> None:
    error = error_of(folder, "# list\nBTCUSDT kraken\nETHUSDT kraken\n")

    assert str(error).startswith("assets.txt:2: unknown venue 'kraken'")
    assert str(error).endswith("of 2 lines none is left")


# Tables


def test_a_table_is_read_as_it_is(folder: Path) -> None:
    table = (
        "# made by another program, ohlc_exchanges: where from\n\n"
        "symbol,ohlc_exchanges,funding_rate_exchanges\n"
        "BTCUSDT,binance+bybit,binance+bybit\n"
        "AI USDT,binance,\n"
        "ETHUSDT,,binance\n"
        "XRPUSDT binance+bybit\n"
        "SOLUSDT\n"
        "LTCUSDT,kraken,\n"
        '"DOTUSDT","binance,bybit",\n'
        "^GSPC,yfinance,\r\n"
    )
    (folder / "assets.csv").write_text(table)
    entries = read_assets(folder / "assets.csv", VENUE_NAMES, SPELLED)

    assert [f"{one.symbol} {one.venue} {one.line}" for one in entries.assets] == [
        "BTCUSDT binance 4",
        "BTCUSDT bybit 4",
        "AIUSDT binance 5",
        "XRPUSDT binance 7",
        "XRPUSDT bybit 7",
        "DOTUSDT binance 10",
        "DOTUSDT bybit 10",
        "^GSPC yfinance 11",
    ]
    assert [(one.line, one.reason) for one in entries.bad] == [(8, "no_venue"), (9, "unknown_venue")]


def test_a_table_is_known_by_its_head_whatever_its_name(folder: Path) -> None:
    assert read(folder, "Symbol;OHLC_exchanges\nBTCUSDT;binance\n") == [Asset("BTCUSDT", "binance", 2)]


def test_a_repetition_is_kept_for_who_asks(folder: Path) -> None:
    (folder / "assets.txt").write_text("B binance\nbinance:b\n")

    assert read_assets(folder / "assets.txt", VENUE_NAMES, SPELLED).doubled == (Asset("B", "binance", 2),)


# Bad files


@pytest.mark.parametrize("content", ["", "\n\n", "# nothing yet\n"])
def test_a_list_without_a_symbol_is_an_error(folder: Path, content: str) -> None:
    assert str(error_of(folder, content)) == "assets.txt names no symbol"


def test_a_missing_list_is_an_error(folder: Path) -> None:
    with pytest.raises(AssetsError, match=r"^gone\.txt does not exist$"):
        read_assets(Path("gone.txt"), VENUE_NAMES)


def test_a_folder_is_no_list(folder: Path) -> None:
    with pytest.raises(AssetsError, match="is a folder, expected a text file"):
        read_assets(folder, VENUE_NAMES)


def test_a_path_through_a_file_is_an_error(folder: Path) -> None:
    (folder / "file").touch()

    with pytest.raises(AssetsError, match=r"^file/assets\.txt cannot be read: Not a directory$"):
        read_assets(folder / "file" / "assets.txt", VENUE_NAMES)


def test_an_endless_file_is_not_read_to_its_end(folder: Path) -> None:
    with pytest.raises(AssetsError, match="larger than 10,000,000 bytes"):
        read_assets(Path("/dev/zero"), VENUE_NAMES)


def test_a_list_of_the_largest_size_is_read(folder: Path) -> None:
    line = b"A binance\n"

    assert read(folder, line + b"#" * (MAX_BYTES - len(line))) == [Asset("A", "binance", 1)]


# Which list


def test_a_given_list_is_used(folder: Path) -> None:
    (folder / "assets.txt").touch()

    assert find_assets(folder, "mine.txt") == AssetList(Path("mine.txt"), "mine.txt (given)")


def test_the_list_in_the_folder_comes_before_the_packaged_one(folder: Path) -> None:
    (folder / "assets.txt").touch()

    assert find_assets(folder, None) == AssetList(folder / "assets.txt", "assets.txt (found in this folder)")


def test_the_list_beside_the_settings_file_comes_next(folder: Path) -> None:
    beside = folder / "settings"
    beside.mkdir()
    (beside / "assets.txt").touch()

    found = find_assets(folder, None, beside)
    (folder / "assets.txt").touch()

    words = "settings/assets.txt (found in the folder of the settings file)"
    assert found == AssetList(beside / "assets.txt", words)
    assert find_assets(folder, None, beside).path == folder / "assets.txt"


def test_the_packaged_list_is_the_last_resort(folder: Path) -> None:
    found = find_assets(folder, None)

    assert found.path.read_bytes() == SHIPPED.read_bytes()
    assert found.packaged
    assert "the list that comes with laklak" in found.words


# The list the project ships


def test_the_shipped_list_has_541_binance_symbols_and_six_of_yfinance() -> None:
    assets = read_assets(SHIPPED, {*VENUES, *PLANNED}, SPELLED).assets

    by_venue = {venue: [asset.symbol for asset in assets if asset.venue == venue] for venue in ("binance", "yfinance")}
    assert len(assets) == 547
    assert len(by_venue["binance"]) == 541
    assert by_venue["yfinance"] == ["BTC=F", "ETH=F", "XRP=F", "SOL=F", "^GSPC", "^NDX"]
    assert "币安人生USDT" in by_venue["binance"]


def test_the_shipped_list_repeats_nothing_and_holds_symbols_only() -> None:
    entries = [line for line in SHIPPED.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]

    assert len(entries) == len(set(entries)) == 547
    assert all(check_symbol(entry.split()[0]) for entry in entries)
