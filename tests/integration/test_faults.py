"""A venue that stumbles: passing faults, refusals at the start, endless trouble."""

from __future__ import annotations

import asyncio
import socket
import ssl
import subprocess
import threading
from collections import Counter

import pytest
from patience import timed

import laklak as library
from laklak.simulator import Fault, Override, generate
from laklak.simulator.dialects.binance import KLINES

DAY = ("--days", "1")
DAY_MS = 86_400_000
END_MS = 1_772_323_200_000
QUICK_RETRIES = timed(backoff_most_s=0.02)


def backfill(*symbols, **options):
    return asyncio.run(library.backfill(list(symbols), **options))


@pytest.fixture
def quick_retries(timing):
    """Backing off is tested with the transport; here it would only cost time."""
    timing(backoff_most_s=0.02)


def test_a_mix_of_faults_costs_nothing_but_requests(venue, laklak, check_sum, stored, truth, recorded):
    faults = [Fault("5xx", 0.05), Fault("reset", 0.03), Fault("cut", 0.03), Fault("429", 0.01), Fault("html", 0.01)]
    running = venue(faults=faults, retry_after=True, seed=7)
    words = ("backfill", *recorded.symbols, "--days", "2", "--chunk", "60", "--workers", "32", "--json")
    ended = laklak(*words, first=QUICK_RETRIES)
    answer = check_sum(ended.json)
    assert (ended.exit, answer["complete"]) == (0, True)
    assert stored() == truth(recorded.symbols, END_MS - 2 * DAY_MS)
    seen = running.simulator.stats.faults
    assert all(seen[fault.kind] for fault in faults)
    assert answer["retries"] == sum(seen[kind] for kind in ("5xx", "reset", "cut", "html"))
    assert answer["rate_limited"] == seen["429"]
    assert answer["candle_requests"] == len(running.candle_hits)
    assert answer["weight"] == running.simulator.stats.weight


def test_faults_on_every_path_do_not_keep_a_run_from_starting(venue, stored, truth, quick_retries):
    venue(faults=[Fault("5xx", 0.2, everywhere=True), Fault("cut", 0.1, everywhere=True)], seed=2)
    assert backfill("LTCUSDT", days=2, chunk=99).exit == 0
    assert stored() == truth(["LTCUSDT"], END_MS - 2 * DAY_MS)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_twelve_symbols_over_three_days_with_every_fault_come_out_complete(venue, laklak, check_sum, stored, served):
    source = generate(symbols=12, days=3, seed=8)
    faults = [Fault("5xx", 0.05), Fault("reset", 0.03), Fault("cut", 0.03), Fault("hang", 0.02), Fault("429", 0.01)]
    running = venue(source, faults=faults, retry_after=True, seed=4)
    ended = laklak("backfill", *source.symbols, "--days", "3", "--chunk", "499", "--json", timeout_s=500)
    answer = check_sum(ended.json)
    assert (ended.exit, answer["complete"]) == (0, True)
    assert running.simulator.stats.faults["hang"]
    assert stored() == served(source, source.symbols, source.start_ms, source.end_ms)


def test_a_server_that_always_fails_ends_with_missing_and_a_bounded_number_of_requests(venue, check_sum, quick_retries):
    running = venue(script=lambda path, query, number: Override(fault="5xx") if path == KLINES else None)
    summary = backfill("LTCUSDT", "DOTUSDT", days=4)
    check_sum(summary.as_json())
    assert (summary.exit, summary.missing, summary.holes) == (1, 2 * 5760, 0)
    assert {failed.reason for failed in summary.failed_series} == {"fetch_failed"}
    # Twelve chunks, a handful of tries each, and no second round for a venue that never worked.
    assert len(running.candle_hits) <= 12 * 6


def test_one_chunk_that_always_fails_is_all_that_is_missing(venue, check_sum, quick_retries, stored, truth):
    bad_ms = END_MS - DAY_MS

    def script(path, query, number):
        return Override(fault="cut") if path == KLINES and int(query["startTime"]) == bad_ms else None

    running = venue(script=script)
    summary = backfill("LTCUSDT", days=2, chunk=480)
    check_sum(summary.as_json())
    assert (summary.exit, summary.missing, summary.written) == (1, 480, 2880 - 480)
    tries = Counter(int(hit.query["startTime"]) for hit in running.candle_hits)[bad_ms]
    assert 3 <= tries <= 12
    assert not any(bad_ms <= time_ms < bad_ms + 480 * 60_000 for _, time_ms in stored())


def test_a_failing_run_is_made_whole_by_the_next_one(venue, quick_retries, stored, truth):
    broken = True
    venue(script=lambda path, query, number: Override(fault="reset") if path == KLINES and broken else None)
    assert backfill("LTCUSDT", days=1).exit == 1
    broken = False
    summary = backfill("LTCUSDT", days=1)
    assert (summary.exit, summary.written) == (0, 1440)
    assert stored() == truth(["LTCUSDT"], END_MS - DAY_MS)


BODIES = {
    "nothing": b"",
    "null": b"null",
    "an object": b"{}",
    "a string": b'"klines"',
    "half of a list": b"[[1,",
    "not UTF-8": b"\xff\xfe\x00",
    "deep nesting": b"[" * 100_000,
    "a web page": b"<html></html>",
}


@pytest.mark.parametrize("case", BODIES)
def test_a_body_that_is_no_answer_is_a_passing_fault(case, venue, check_sum, quick_retries, stored):
    body = BODIES[case]
    spoiled = venue(script=lambda path, query, number: Override(body=body) if number == 3 else None)
    summary = backfill("LTCUSDT", days=1)
    check_sum(summary.as_json())
    assert (summary.exit, summary.retries) == (0, 1)
    assert len(stored()) == 1440
    assert len(spoiled.candle_hits) == 3


@pytest.mark.parametrize("row", ["null", "1", "{}", '"x"', "[]", "[null]", '[1e999,"1"]', "[" * 900 + "]" * 900])
def test_a_row_that_is_no_row_never_breaks_a_run(row, venue, check_sum, stored):
    body = f"[{row}]".encode()
    venue(script=lambda path, query, number: Override(body=body) if number == 3 else None)
    summary = backfill("LTCUSDT", days=1)
    check_sum(summary.as_json())
    assert summary.exit == 0
    assert len(stored()) == 1440


@pytest.mark.parametrize(
    ("status", "words"), [("451", "refuses this"), ("403", "refuses this"), ("5xx", "cannot be used")]
)
def test_a_venue_that_refuses_at_the_start_is_exit_2_with_a_hint(status, words, venue, laklak, check_sum):
    running = venue(script=lambda path, query, number: Override(fault=status))
    ended = laklak("backfill", "LTCUSDT", *DAY, "--json", first=QUICK_RETRIES)
    answer = check_sum(ended.json)
    assert (ended.exit, answer["exit"]) == (2, 2)
    assert answer["error"].startswith("venue_unreachable: ")
    assert words in answer["error"]
    assert answer["hint"]
    assert len(ended.lines("error")) == len(ended.lines("hint")) == 1
    assert running.candle_hits == []
    assert answer["requests"] == len(running.hits)


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"symbols": 3}', b'{"symbols": [1]}', b'{"symbols": [{"symbol": 1}]}', b"<html>"]
)
def test_a_listing_that_is_none_is_exit_2(body, venue, here, quick_retries):
    running = venue(script=lambda path, query, number: Override(body=body) if path.endswith("Info") else None)
    ended = here("backfill", "LTCUSDT", *DAY)
    assert ended.exit == 2
    assert "cannot be used" in ended.lines("error")[0]
    assert running.candle_hits == []


def refused(ended, words):
    assert ended.exit == 2, ended.err
    (error,) = ended.lines("error")
    assert words in error
    assert len(ended.lines("hint")) == 1


def test_a_host_that_does_not_exist_is_exit_2(laklak):
    refused(
        laklak("backfill", "LTCUSDT", *DAY, LAKLAK_BINANCE_URL="http://no-such-host.invalid"), "no-such-host.invalid"
    )


def test_a_port_where_nobody_listens_is_exit_2(laklak):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = ("backfill", "LTCUSDT", *DAY)
    refused(laklak(*words, first=QUICK_RETRIES, LAKLAK_BINANCE_URL=f"http://127.0.0.1:{port}"), f"127.0.0.1:{port}")


def test_a_proxy_where_nobody_listens_is_exit_2_and_named(venue, laklak):
    running = venue()
    ended = laklak("backfill", "LTCUSDT", *DAY, HTTP_PROXY="http://127.0.0.1:9", NO_PROXY="")
    refused(ended, "proxy")
    assert running.hits == []


def test_no_proxy_is_honoured(venue, laklak):
    venue()
    assert laklak("backfill", "LTCUSDT", *DAY, HTTP_PROXY="http://127.0.0.1:9", NO_PROXY="127.0.0.1").exit == 0


def test_a_certificate_nobody_trusts_is_exit_2(laklak, tmp_path):
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
    try:
        subprocess.run([*words, "-keyout", key, "-out", certificate], check=True, capture_output=True, timeout=30)
    except FileNotFoundError:
        pytest.skip("there is no openssl to make a certificate with")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    listener = socket.create_server(("127.0.0.1", 0))
    stop = threading.Event()

    def serve():
        listener.settimeout(0.1)
        while not stop.is_set():
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                continue
            connection.settimeout(5)
            try:
                context.wrap_socket(connection, server_side=True).close()
            except OSError:
                connection.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        url = f"https://localhost:{listener.getsockname()[1]}"
        refused(laklak("backfill", "LTCUSDT", *DAY, LAKLAK_BINANCE_URL=url), "no trusted connection")
    finally:
        stop.set()
        thread.join()
        listener.close()


def test_redirects_are_not_followed(venue, here, quick_retries):
    other = venue()
    away = {"Location": f"{other.url}/fapi/v1/exchangeInfo"}
    venue(script=lambda path, query, number: Override(status=302, headers=away))
    assert here("backfill", "LTCUSDT", *DAY).exit == 2
    assert other.hits == []


def test_a_region_refused_in_the_middle_ends_the_run_and_keeps_what_there_is(venue, here, check_sum, stored):
    running = venue(script=lambda path, query, number: Override(fault="451") if number > 20 else None)
    ended = here("backfill", "LTCUSDT", "--days", "4", "--chunk", "99", "--json", "--workers", "2")
    answer = check_sum(ended.json)
    assert ended.exit == 1
    assert answer["error"].startswith("region: ")
    assert len(ended.lines("error")) == 1
    # The listing, the clock and the first candle are asked for as well.
    assert len(stored()) == answer["written"] == 17 * 99
    assert len(running.candle_hits) <= 20
