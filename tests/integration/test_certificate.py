"""`laklak certificate`: what is stored and what speaks for it, of which no character can be changed unseen."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import subprocess
from contextlib import closing
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from urllib.request import urlopen

import pytest
from copies import BTC, ETH, MINUTE_MS, START_MS, absence, candles, fill, new_name
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from thoroughness import examples

from laklak.archives import ARCHIVES
from laklak.audit.certificate import file_of, sealed
from laklak.audit.certified import why_refused
from laklak.model.absences import Absence
from laklak.model.provenance import BulkFile, Stretch
from laklak.model.records import Note
from laklak.model.revisions import Revision
from laklak.model.series import DAY_MS, Series, TimeRange, iso, ms_of
from laklak.stores import open_store
from laklak.stores.base import Delivery
from laklak.stores.sqlite.store import SqliteStore

DAY = 1440
NOTED_MS = 1_772_500_000_000
FILE = BulkFile(TimeRange(START_MS, START_MS + DAY_MS), "BTCUSDT-1m-2026-02-28.zip", "ab" * 32, NOTED_MS)
HOLES, REJECT = [*range(100, 110), 300], 500


def make(where):
    """Three days of BTC with holes and a reject, one of ETH that lacks a minute; the clock and what runs have noted."""
    whole = [minute for minute in range(3 * DAY) if minute not in (*HOLES, REJECT)]
    fill(
        where,
        candles(BTC, whole),
        candles(ETH, [minute for minute in range(DAY, 3 * DAY) if minute != 2000]),
        absences=[*map(absence, HOLES), absence(REJECT, "rejected", "high is below low")],
    )

    async def more():
        async with open_store(where) as store:
            btc, eth = Series.parse(BTC), Series.parse(ETH)
            before = TimeRange(START_MS, START_MS + DAY_MS)
            edge = Absence(before, "before_first", NOTED_MS, "a later first candle", None, NOTED_MS, None, ("rest",))
            given = Stretch(TimeRange(START_MS, START_MS + DAY_MS), "archive", "confirmed", NOTED_MS, NOTED_MS)
            batch = candles(BTC, [0])
            files = [FILE, replace(FILE, span=TimeRange(before.end_ms, before.end_ms + DAY_MS), name="unused.zip")]
            await store.write([Delivery(eth, None, [edge]), Delivery(btc, batch, provenance=[given], files=files)])
            first = {"ms": START_MS + DAY_MS, "time": iso(START_MS + DAY_MS), "source": "rest"}
            clock = {"ms": START_MS + 3 * DAY_MS}
            await store.put_notes(
                [
                    Note(ETH, "first", json.dumps(first), NOTED_MS, NOTED_MS),
                    Note("binance", "listing", '["BTCUSDT"]', NOTED_MS, NOTED_MS),
                    Note("binance", "clock", json.dumps(clock), NOTED_MS, NOTED_MS),
                ]
            )

    asyncio.run(more())


@pytest.fixture
def filled(clean_room):
    make("candles.db")
    return "candles.db"


@pytest.fixture
def issued(filled, here):
    assert here("certificate", "--store", filled, "--start", iso(START_MS), "--out", "it.json").exit == 1
    return Path("it.json")


@pytest.fixture
def key():
    """A key of its own, and the file that allows it to sign."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", "key"], check=True)
    Path("allowed").write_text(f"me@example.com {Path('key.pub').read_text()}")
    return "key"


def told(ended, status):
    """The one line that says how it ended."""
    assert ended.exit == status
    assert ended.out == "" or status == 1
    assert ended.err.count("error:") == (status == 2)
    return ended.out + ended.err


# What is in it


def test_each_series_has_its_account_and_what_speaks_for_it(issued):
    said = json.loads(issued.read_text())
    btc, eth = said["series"]

    for one, missing in ((btc, 0), (eth, 1)):
        found = {name: one["account"][name] for name in ("held", "holes", "rejected", "quiet", "missing")}
        assert sum(found.values()) == one["account"]["wanted"]
        assert found["missing"] == missing
    assert tuple(btc["account"][name] for name in ("held", "holes", "rejected")) == (3 * DAY - 12, 11, 1)
    assert (said["complete"], said["total"]["missing"], said["origin"]) == (False, 1, "simulated")
    assert said["venues"]["binance"]["as_of"] == iso(START_MS + 3 * DAY_MS)
    lacking = START_MS + 2000 * MINUTE_MS
    assert eth["missing_spans"] == [{"start": iso(lacking), "end": iso(lacking + MINUTE_MS)}]


def test_every_hole_and_reject_is_there_with_its_evidence(issued):
    btc, eth = json.loads(issued.read_text())["series"]

    spans = [(one["from"], one["until"]) for one in btc["holes"]]
    expected = [(100, 110), (300, 301)]
    assert spans == [tuple(iso(START_MS + minute * MINUTE_MS) for minute in part) for part in expected]
    assert {one["reason"] for one in btc["holes"]} == {"two complete answers lack it"}
    (reject,) = btc["rejects"]
    assert (reject["reason"], reject["row"]) == ("high is below low", '[1, "a"]')
    (edge,) = eth["listing"]["absent"]
    assert (edge["kind"], edge["sources"], edge["until"]) == ("before_first", ["rest"], iso(START_MS + DAY_MS))
    assert eth["listing"]["begins"] == iso(START_MS + DAY_MS)
    assert [(one["kind"], one["value"]["source"]) for one in eth["listing"]["noted"]] == [("first", "rest")]
    assert [one["listing"]["listed"]["is"] for one in (btc, eth)] == [True, False]
    assert [one["source"] for one in btc["provenance"]] == ["archive"]


def test_the_files_that_gave_a_stretch_are_named_with_their_checksums_and_no_others(issued):
    btc, eth = json.loads(issued.read_text())["series"]

    assert btc["archive_files"] == [
        {
            "name": "BTCUSDT-1m-2026-02-28.zip",
            "sha256": "ab" * 32,
            "from": "2026-02-28T00:00Z",
            "until": "2026-03-01T00:00Z",
            "run": iso(NOTED_MS),
        }
    ]
    assert eth["archive_files"] == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            {"from": "2026-03-01T00:00Z", "until": "2026-03-02T00:00Z"},
            "nothing of binance:BTCUSDT:1m came from BTCUSDT-1m",
        ),
        ({"sha256": "ab" * 31}, "nothing of binance:BTCUSDT:1m came from BTCUSDT-1m"),
        ({"sha256": None}, "it lacks what a certificate has"),
    ],
)
def test_a_file_that_gave_nothing_is_refused_though_all_is_summed_anew(issued, change, told):
    said = json.loads(issued.read_text())
    said["series"][0]["archive_files"][0].update(change)

    assert why_refused(file_of(sealed(said))).startswith(told)


@pytest.mark.parametrize("kind", ["sqlite", "influxd", pytest.param("influxd2", marks=pytest.mark.long)])
def test_the_files_of_a_run_are_named_and_a_copy_knows_them_too(kind, archive, here, request, monkeypatch):
    running = archive()
    store = "candles.db"
    if kind != "sqlite":
        server = request.getfixturevalue(kind)
        monkeypatch.setenv("LAKLAK_INFLUXDB_TOKEN", getattr(server, "token", "none"))
        store = server.url(new_name())
    assert here("backfill", "LTCUSDT", "--days", "3", "-q", "--store", store).exit == 0
    assert here("copy", store, "copy.db", "-q").exit == 0

    series = Series.parse("binance:LTCUSDT:1m")
    days = [ARCHIVES["binance"].day_file(series, START_MS - back * DAY_MS) for back in (2, 1)]
    expected = [(day.name, sha256(urlopen(running.url + day.path).read()).hexdigest()) for day in days]  # noqa: S310
    for where in (store, "copy.db"):
        (one,) = json.loads(here("certificate", "--store", where).out)["series"]
        assert [(file["name"], file["sha256"]) for file in one["archive_files"]] == expected, where
    at = iso(START_MS - MINUTE_MS)
    (file,) = here("explain", "LTCUSDT", at, "--store", store, "--json").json["files"]
    assert (file["name"], file["sha256"]) == expected[-1]
    assert expected[-1][1] in here("explain", "LTCUSDT", at, "--store", store).out


def test_a_store_that_does_not_know_its_files_learns_them_from_a_refetch(archive, here):
    archive()
    assert here("backfill", "LTCUSDT", "--days", "2", "-q", "--store", "candles.db").exit == 0
    with closing(sqlite3.connect("candles.db")) as connection, connection:
        connection.execute("DELETE FROM bulk_file")
    files = []
    for refetch in ((), ("--refetch",)):
        assert here("backfill", "LTCUSDT", "--days", "2", "-q", "--store", "candles.db", *refetch).exit == 0
        (one,) = json.loads(here("certificate", "--store", "candles.db").out)["series"]
        files.append(len(one["archive_files"]))

    assert files == [0, 1]


def test_a_file_that_lacks_a_hole_too_is_named_with_it(here):
    at = START_MS + 5 * MINUTE_MS
    hole = Absence(TimeRange(at, at + MINUTE_MS), "hole", NOTED_MS, "it lacks it", None, NOTED_MS, NOTED_MS, ("rest",))
    batch = candles(BTC, [*range(5), *range(6, 20)])

    async def write():
        async with open_store("candles.db") as store:
            await store.write([Delivery(batch.series, batch, [hole], files=[FILE])])

    asyncio.run(write())

    (one,) = json.loads(here("certificate", "--store", "candles.db").out)["series"]
    assert [file["name"] for file in one["archive_files"]] == [FILE.name]
    assert f"{FILE.name} had the SHA-256 {FILE.sha256}" in here("explain", BTC, iso(at), "--store", "candles.db").out
    assert here("explain", BTC, iso(at + MINUTE_MS), "--store", "candles.db", "--json").json["files"] == []


def test_what_the_store_knows_and_holds_is_read_once(filled, here, monkeypatch):
    asked = []

    def counted(name):
        ask = getattr(SqliteStore, name)

        async def told(store):
            asked.append(name)
            return await ask(store)

        return told

    for name in ("notes", "holdings"):
        monkeypatch.setattr(SqliteStore, name, counted(name))
    assert here("certificate", "--store", filled).exit == 1

    assert sorted(asked) == ["holdings", "notes"]


def test_closed_hours_are_told_with_their_source_and_quiet_minutes_are_counted(clean_room, here):
    batch = candles(BTC, [*range(60), *range(120, 180), *range(190, 200)])
    stretches = (("closed", 60, 120, "no session covers it"), ("quiet", 180, 190, "no trades"))

    async def write():
        async with open_store("candles.db") as store:
            absences = [
                Absence(
                    TimeRange(START_MS + first * MINUTE_MS, START_MS + end * MINUTE_MS),
                    *(kind, NOTED_MS, reason, None, NOTED_MS, None, ("rest",)),
                )
                for kind, first, end, reason in stretches
            ]
            await store.write([Delivery(batch.series, batch, absences)])

    asyncio.run(write())
    (one,) = here("certificate", "--store", "candles.db").json["series"]

    (session,) = one["sessions"]
    assert (session["kind"], session["sources"], session["reason"]) == ("closed", ["rest"], "no session covers it")
    assert (session["from"], session["until"]) == (iso(START_MS + 60 * MINUTE_MS), iso(START_MS + 120 * MINUTE_MS))
    account = one["account"]
    assert tuple(account[name] for name in ("wanted", "held", "closed", "quiet", "missing")) == (140, 130, 60, 10, 0)


def test_its_digests_are_those_of_digest_and_verify_takes_it(issued, filled, here):
    digests = here("digest", "--store", filled, "--start", iso(START_MS), "--json").json

    assert json.loads(issued.read_text())["digests"]["root"] == digests["root"]
    assert here("verify", "--store", filled, "--against", issued, "--depth", "counts").exit == 0


def test_verify_takes_no_certificate_that_was_changed(issued, filled, here):
    issued.write_text(issued.read_text().replace('"rows": 1440', '"rows": 1441', 1))

    assert "it.json is refused: it was changed" in told(here("verify", "--store", filled, "--against", issued), 2)


def test_nothing_missing_is_status_0_and_stdout_is_the_file(filled, here):
    words = ("certificate", BTC, "--store", filled)
    printed = here(*words)
    assert printed.exit == 0
    Path("printed.json").write_text(printed.out)
    assert here("certificate", "check", "printed.json", "--store", filled).exit == 0

    shown = here(*words, "--out", "it.json")
    assert "nothing is missing" in shown.out
    assert json.loads(Path("it.json").read_text())["sha256"] in shown.out


def test_the_same_rows_have_the_same_roots_in_influxdb(issued, influxd, here):
    server = influxd.url(new_name())
    make(server)

    other = here("certificate", "--store", server, "--start", iso(START_MS))
    said, there = json.loads(issued.read_text()), json.loads(other.out)

    assert there["digests"]["root"] == said["digests"]["root"]
    assert there["series"] == said["series"]
    checked = here("certificate", "check", issued, "--store", server)
    assert (checked.exit, "5 days of 2 series: all as it says" in checked.out) == (0, True)


def test_a_store_that_is_filled_while_it_is_read_is_certified_later(filled, here, monkeypatch):
    from laklak.audit import certificate

    async def filled_before(store, *asked, **more):
        batch = candles(BTC, HOLES)
        await store.write([Delivery(batch.series, batch)])
        return await digests_of(store, *asked, **more)

    digests_of = certificate.digests_of
    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(certificate, "digests_of", filled_before)
        ended = here("certificate", "--store", filled, "--out", "it.json")
    assert (ended.exit, Path("it.json").exists()) == (75, False)
    assert "was filled while it was read" in ended.err

    assert here("certificate", BTC, "--store", filled).exit == 0


# Whether it is as it was issued


def test_what_was_issued_is_sound(issued, here):
    ended = here("certificate", "check", issued)
    assert ended.exit == 0
    assert "1 candle missing" in ended.out
    assert "unsigned" in ended.out


@settings(max_examples=examples(150), suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_a_changed_character_anywhere_is_refused(issued, data):
    whole = issued.read_bytes()
    place = data.draw(st.integers(0, len(whole) - 1))
    change = data.draw(st.sampled_from([b"", b" ", b"0", b"e", b"E", b"\xff", b"\n", whole[place : place + 1] * 2]))
    changed = whole[:place] + change + whole[place + 1 :]

    assert not why_refused(whole)
    assert changed == whole or why_refused(changed)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace(" ", "", 1),
        lambda text: "\ufeff" + text,
        lambda text: text + "\n",
        lambda text: text.replace('"complete": false', '"complete": true'),
        lambda text: text.replace('{\n "format"', '{\n "complete": true,\n "format"', 1),
        lambda text: text.replace("laklak-certificate-1", "laklak-certificate-2"),
        lambda text: json.dumps(json.loads(text)),
        lambda text: text[:-10],
        lambda text: "[" * 100_000,
        lambda text: "",
    ],
)
def test_what_says_the_same_in_other_characters_is_refused_too(issued, here, change):
    issued.write_text(change(issued.read_text()))

    ended = here("certificate", "check", issued)

    assert (ended.exit, len(ended.out.splitlines()), ended.out[:7]) == (1, 1, "refused")


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("digests", "series", 0, "days", 1, "sha256"), "0" * 64),
        (("digests", "series", 0, "days", 1, "rows"), 5),
        (("digests", "series", 1, "root"), "0" * 64),
        (("digests", "root"), None),
        (("digests", "series"), []),
        (("complete",), True),
        (("total", "held"), 1),
        (("total",), None),
        (("series", 0, "account", "missing"), 1),
        (("series", 0, "account", "held"), "many"),
        (("series", 0, "holes"), []),
        (("series", 0, "rejects", 0, "until"), "2026-03-01T00:00Z"),
        (("series", 1, "end"), "once"),
    ],
)
def test_what_contradicts_itself_is_refused_even_where_the_sum_was_made_anew(issued, here, place, value):
    said = json.loads(issued.read_text())
    part = said
    for name in place[:-1]:
        part = part[name]
    part[place[-1]] = value
    rest = {name: value for name, value in said.items() if name != "sha256"}
    issued.write_bytes(file_of(sealed(rest)))

    assert "refused" in told(here("certificate", "check", issued), 1)


# Against a store


def test_the_days_of_a_store_that_changed_since_are_named(issued, filled, here):
    with closing(sqlite3.connect(filled)) as connection, connection:
        at = START_MS + (DAY + 30) * MINUTE_MS
        connection.execute("UPDATE candles SET close = close + 1e-9 WHERE symbol = 'BTCUSDT' AND open_time = ?", (at,))
        connection.execute("DELETE FROM candles WHERE symbol = 'ETHUSDT' AND open_time >= ?", (START_MS + 2 * DAY_MS,))

    ended = here("certificate", "check", issued, "--store", filled, "--json")

    assert ended.exit == ended.json["exit"] == 1
    found = [(one["series"], day["day"]) for one in ended.json["series"] for day in one["differ"]]
    assert found == [(BTC, iso(START_MS + DAY_MS)[:10]), (ETH, iso(START_MS + 2 * DAY_MS)[:10])]
    assert "differs" in here("certificate", "check", issued, "--store", filled).out


def test_what_has_come_since_and_a_day_that_had_not_ended_are_no_difference(here, clean_room):
    fill("candles.db", candles(BTC, range(DAY + 300)))
    assert here("certificate", "--store", "candles.db", "--out", "it.json").exit == 0
    fill("candles.db", candles(BTC, range(3 * DAY)), candles(ETH, range(DAY)))

    ended = here("certificate", "check", "it.json", "--store", "candles.db")

    assert ended.exit == 0
    assert "1 day of 1 series: all as it says, 1 not compared" in ended.out


# Two of them


def test_the_days_of_two_certificates_that_differ_are_named_with_who_gave_them(issued, filled, here):
    # A run that begins after the first one was issued, and gives what was missing; and a row that nobody has given.
    run_ms = ms_of(json.loads(issued.read_text())["issued_at"]) + 60_000
    batch = candles(ETH, [2000])
    at = batch.open_times[0]
    given = Stretch(TimeRange(at, at + MINUTE_MS), "rest", "confirmed", run_ms, run_ms)

    async def write():
        async with open_store(filled) as store:
            await store.write([Delivery(batch.series, batch, provenance=[given])])

    asyncio.run(write())
    with closing(sqlite3.connect(filled)) as connection, connection:
        statement = "UPDATE candles SET volume = volume + 1 WHERE symbol = 'BTCUSDT' AND open_time = ?"
        connection.execute(statement, (START_MS + 2 * DAY_MS,))
    assert here("certificate", "--store", filled, "--out", "later.json").exit == 0

    ended = here("certificate", "diff", issued, "later.json", "--json")

    assert ended.exit == ended.json["exit"] == 1
    btc, eth = ended.json["series"]
    assert (btc["days"], [day["day"] for day in btc["differ"]]) == (3, [iso(START_MS + 2 * DAY_MS)[:10]])
    assert "of no run since" in btc["differ"][0]["detail"]
    assert (eth["days"], [day["day"] for day in eth["differ"]]) == (2, [iso(START_MS + DAY_MS)[:10]])
    assert f"rest in a run that began at {iso(run_ms)}" in eth["differ"][0]["detail"]
    assert "1440 candles" in eth["differ"][0]["detail"].replace(",", "")
    assert "missing candles: 1 filled" in eth["differ"][0]["detail"]


def test_a_run_that_has_only_gone_on_is_no_cause_of_a_change_by_hand(issued, filled, here):
    run_ms = ms_of(json.loads(issued.read_text())["issued_at"]) + 60_000
    # The stretch of the first day grows: its last run began after the first certificate was issued.
    batch = candles(BTC, range(DAY, DAY + 5))
    given = Stretch(
        TimeRange(START_MS + DAY_MS, START_MS + DAY_MS + 5 * MINUTE_MS), "archive", "confirmed", run_ms, run_ms
    )

    async def write():
        async with open_store(filled) as store:
            await store.write([Delivery(batch.series, batch, provenance=[given])])

    asyncio.run(write())
    with closing(sqlite3.connect(filled)) as connection, connection:
        statement = "UPDATE candles SET volume = volume + 1 WHERE symbol = 'BTCUSDT' AND open_time = ?"
        connection.execute(statement, (START_MS + 7 * MINUTE_MS,))
    here("certificate", "--store", filled, "--out", "later.json")

    (day,) = here("certificate", "diff", issued, "later.json", "--json").json["series"][0]["differ"]

    assert (day["day"], day["detail"].endswith("of no run since is it known")) == ("2026-02-28", True)


def test_a_filled_hole_a_revision_and_a_candle_that_is_gone_are_the_causes_that_two_certificates_tell(
    issued, filled, here
):
    since_ms = ms_of(json.loads(issued.read_text())["issued_at"]) + 60_000
    btc, revised = candles(BTC, [*HOLES[:3], REJECT]), candles(BTC, [2 * DAY + 5], price=200.0)
    old, new = (tuple(column[0] for column in one.values) for one in (candles(BTC, [2 * DAY + 5]), revised))
    revisions = [
        Revision(revised.open_times[0], old, new, "rest", "refetch", since_ms),
        Revision(START_MS + (DAY + 7) * MINUTE_MS, old, new, "rest", "refetch", since_ms - 10 * DAY_MS),
    ]

    async def write():
        async with open_store(filled) as store:
            await store.write([Delivery(btc.series, btc), Delivery(btc.series, revised, revisions=revisions)])

    asyncio.run(write())
    with closing(sqlite3.connect(filled)) as connection, connection:
        gone = "DELETE FROM candles WHERE symbol = 'BTCUSDT' AND open_time = ?"
        connection.execute(gone, (START_MS + (DAY + 9) * MINUTE_MS,))
    assert here("certificate", "--store", filled, "--out", "later.json").exit == 1

    ended = here("certificate", "diff", issued, "later.json", "--json")

    first, second, third = (day["detail"].split("; ")[1:] for day in ended.json["series"][0]["differ"])
    assert first == ["holes and rejects: 4 filled"]
    assert second == ["missing candles: 1 more"]
    assert third == [f"candles were overwritten with other values, the last at {iso(since_ms)} (refetch, rest)"]


def test_two_of_the_same_store_differ_in_nothing_but_in_series_that_one_lacks(issued, filled, here):
    here("certificate", BTC, "--store", filled, "--days", "1", "--out", "part.json")

    assert here("certificate", "diff", issued, issued).exit == 0
    ended = here("certificate", "diff", issued, "part.json", "--json")
    assert (ended.exit, ended.json["only_before"], ended.json["only_after"]) == (1, [ETH], [])
    assert [(one["days"], one["days_that_differ"]) for one in ended.json["series"]] == [(1, 0)]


def test_a_refused_one_is_held_against_nothing(issued, here):
    Path("wrong.json").write_text(issued.read_text().replace("0", "1", 1))

    ended = here("certificate", "diff", issued, "wrong.json", "--json")

    assert ended.exit == ended.json["exit"] == 2
    assert "wrong.json is refused" in ended.err


# Signatures


def test_a_signature_says_who_has_issued_it(filled, key, here):
    assert here("certificate", "--store", filled, "--out", "it.json", "--sign", key).exit == 1

    answer = here("certificate", "check", "it.json", "--signers", "allowed", "--json").json
    assert answer["signature"]["signer"] == "me@example.com"
    fingerprint = subprocess.run(["ssh-keygen", "-lf", "key.pub"], capture_output=True, text=True, check=True).stdout
    assert answer["signature"]["key"] in fingerprint
    assert here("certificate", "check", "it.json").exit == 0
    # Without laklak, as README has it.
    by_hand = ["-Y", "verify", "-f", "allowed", "-I", "me@example.com", "-n", "laklak-certificate", "-s", "it.json.sig"]
    subprocess.run(["ssh-keygen", *by_hand], input=Path("it.json").read_bytes(), check=True, capture_output=True)


def test_a_signature_of_something_else_or_by_somebody_else_is_refused(filled, key, here):
    here("certificate", "--store", filled, "--out", "it.json", "--sign", key)
    here("certificate", BTC, "--store", filled, "--out", "other.json", "--sign", key)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "second"], check=True)
    Path("others").write_text(f"you@example.com {Path('second.pub').read_text()}")

    assert "its key is none of others" in told(here("certificate", "check", "it.json", "--signers", "others"), 1)
    os.replace("other.json.sig", "it.json.sig")
    assert "refused" in told(here("certificate", "check", "it.json"), 1)
    assert "refused" in told(here("certificate", "check", "it.json", "--signers", "allowed"), 1)


def test_what_is_signed_is_replaced_by_nothing_unsigned_that_its_signature_would_be_none_of(filled, key, here):
    words = ("certificate", "--store", filled, "--out", "it.json")
    here(*words, "--sign", key)
    before = Path("it.json").read_bytes()

    assert "it.json.sig signs what is in it.json now" in told(here(*words), 2)

    assert Path("it.json").read_bytes() == before
    assert here(*words, "--sign", key).exit == 1
    assert here("certificate", "check", "it.json").exit == 0


def test_a_signature_that_is_demanded_has_to_be_there(issued, key, here):
    assert "there is no signature it.json.sig" in told(here("certificate", "check", issued, "--signers", "allowed"), 1)


def test_a_signature_that_cannot_be_looked_at_is_told(filled, key, here, monkeypatch):
    here("certificate", "--store", filled, "--out", "it.json", "--sign", key)

    assert "--signers nowhere cannot be read" in told(
        here("certificate", "check", "it.json", "--signers", "nowhere"), 2
    )
    Path("it.json.sig").write_text("nothing")
    assert "missing header" in told(here("certificate", "check", "it.json"), 1)
    monkeypatch.setenv("PATH", "/nonexistent")
    assert "there is no ssh-keygen" in told(here("certificate", "check", "it.json"), 2)


def test_a_key_that_cannot_be_used_leaves_everything_as_it_was(issued, filled, here, monkeypatch):
    before = issued.read_bytes()
    Path("no_key").write_text("nothing")
    words = ("certificate", "--store", filled, "--out", "it.json")

    assert "nowhere cannot be read" in told(here(*words, "--sign", "nowhere"), 2)
    assert "--sign no_key cannot sign" in told(here(*words, "--sign", "no_key"), 2)
    monkeypatch.setenv("PATH", "/nonexistent")
    assert "there is no ssh-keygen" in told(here(*words, "--sign", "no_key"), 2)
    assert (issued.read_bytes(), Path("it.json.sig").exists()) == (before, False)


# What cannot be done


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["XRPUSDT"], "no candles of binance:XRPUSDT:1m"),
        (["--start", "2026-03-02", "--end", "2026-03-01"], "is not before end"),
        ([BTC, "--stored"], "exclude each other"),
        (["--interval", "5m"], "holds no series of 5m"),
        (["--out", "no/folder/here.json"], "here.json cannot be written"),
        (["--out", "candles.db"], "is no certificate: it stays as it is"),
        (["--sign", "key"], "--sign needs a file"),
        (["check", "nowhere.json"], "nowhere.json does not exist"),
        (["check"], "Missing argument 'FILE'"),
    ],
)
def test_what_cannot_be_certified_is_one_line_and_status_2(words, said, filled, here):
    if words[0] != "check":
        words = [*words, "--store", filled]
    assert said in told(here("certificate", *words), 2)


def test_no_store_an_empty_one_and_a_dead_server_are_told_with_status_2(issued, here):
    async def empty():
        async with open_store("empty.db"):
            pass

    asyncio.run(empty())
    for where, said in [
        ("none.db", "there is no store"),
        ("empty.db", "holds no series"),
        ("influxdb://localhost:9/market_data", "localhost:9"),
    ]:
        ended = here("certificate", "--store", where, "--json")
        assert ended.exit == ended.json["exit"] == 2, where
        assert said in ended.err
        checked = here("certificate", "check", issued, "--store", where, "--json")
        # An empty store is one that lacks every day.
        assert checked.exit == checked.json["exit"] == (1 if where == "empty.db" else 2), where


def test_files_that_may_only_be_read_are_certified_and_checked(issued, filled, here):
    for path in (issued, filled):
        os.chmod(path, 0o444)

    assert here("certificate", BTC, "--store", filled).exit == 0
    assert here("certificate", "check", issued, "--store", filled).exit == 0
