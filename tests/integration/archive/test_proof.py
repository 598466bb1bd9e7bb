"""A minute is a hole when every source that can know lacks it: the API, and the file of its day."""

from __future__ import annotations

import random
import signal
import threading
import time

import pytest
from bulk_files import backfill
from lying_venue import FILES, KLINES, MINUTE_MS, LyingVenue, minutes, ms, values

import laklak as library

SERIES = "binance:AAAUSDT:1m"
DAY = {"start": "2026-03-01", "end": "2026-03-02"}
HALF_HOUR = {"start": "2026-03-01T07:00", "end": "2026-03-01T07:30"}
MORNING = {"start": "2026-03-01T06:30", "end": "2026-03-01T08:00"}
LACKING = minutes("2026-03-01T07:00", 30)
BEFORE = "2026-03-02T08:59:30"
"""The file of 2026-03-01 is expected half a minute later."""
DUE = "2026-03-02T09:00:30"
FILE = "AAAUSDT-1m-2026-03-01.zip"


@pytest.fixture
def lying(monkeypatch):
    """A venue whose API lacks half an hour of AAAUSDT that its files have."""
    with LyingVenue(clock="2026-03-03T12:00:30") as venue:
        venue.list("AAAUSDT", first="2026-02-01", onboard="2026-02-01", holes=set(LACKING))
        monkeypatch.setenv("LAKLAK_BINANCE_URL", venue.url)
        monkeypatch.setenv("LAKLAK_BINANCE_ARCHIVE_URL", venue.url)
        monkeypatch.setenv("LAKLAK_BINANCE_BUDGET", "max")
        yield venue


def symbol(venue):
    return venue.symbols["AAAUSDT"]


def lose(venue, lost=LACKING):
    """From now on the files lack these minutes too."""
    symbol(venue).file_holes |= lost


def zips(venue):
    """The zips that were asked for, in order."""
    return [hit.path.rpartition("/")[2] for hit in venue.asked(FILES) if hit.path.endswith(".zip")]


def account(summary):
    return summary.exit, summary.written, summary.holes, summary.missing


def fails(venue, path, status=503):
    """From now on whatever begins with `path` fails."""
    venue.tell = lambda asked: (status, b"") if asked.path.startswith(path) else None


@pytest.fixture
def noted(sql):
    """What is remembered: `noted()` gives (open_time, kind, reason, file_at), in order."""
    return lambda path="laklak.db": sql("SELECT open_time, kind, reason, file_at FROM absence ORDER BY 1", path=path)


def whole(stored, start, count):
    """Whether exactly these minutes are stored, as the venue has them."""
    return stored() == {("AAAUSDT", open_ms): values(open_ms) for open_ms in minutes(start, count)}


# Minutes that the API lacks, while their file is published


def test_what_the_api_lacks_and_the_file_has_is_stored(lying, stored):
    summary = backfill("AAAUSDT", **HALF_HOUR)

    assert account(summary) == (0, 30, 0, 0)
    assert whole(stored, "2026-03-01T07:00", 30)
    assert zips(lying) == [FILE]
    assert (summary.files.planned, summary.files.read, summary.files.candles) == (1, 1, 30)


def test_what_both_lack_is_a_hole_that_says_what_it_was_held_against(lying, noted):
    lose(lying)

    summary = backfill("AAAUSDT", **MORNING)

    assert account(summary) == (0, 60, 30, 0)
    rows = noted()
    assert [row[0] for row in rows] == sorted(LACKING)
    assert {row[1:3] for row in rows} == {("hole", f"two complete answers lack it; {FILE} lacks it too")}
    assert all(lying.clock_ms <= row[3] < lying.clock_ms + MINUTE_MS for row in rows)
    assert zips(lying) == [FILE]


def test_a_file_that_has_some_of_it_leaves_holes_of_the_rest(lying, noted, stored):
    lose(lying, minutes("2026-03-01T07:10", 5))

    summary = backfill("AAAUSDT", **MORNING)

    assert account(summary) == (0, 85, 5, 0)
    assert [row[0] for row in noted()] == sorted(minutes("2026-03-01T07:10", 5))
    assert set(minutes("2026-03-01T06:30", 90)) - {key[1] for key in stored()} == minutes("2026-03-01T07:10", 5)


def test_a_file_is_asked_once_however_many_questions_its_day_takes(lying):
    holes = {time_ms for hour in range(0, 24, 2) for time_ms in minutes(f"2026-03-01T{hour:02d}:20", 2)}
    symbol(lying).holes = set(holes)

    summary = backfill("AAAUSDT", start="2026-03-01", end="2026-03-02T12:00", source="auto", chunk=99, workers=1)

    # The first is taken for its own candles; the day after is not published yet.
    assert account(summary) == (0, 36 * 60, 0, 0)
    lying.forget()
    for time_ms in holes:
        symbol(lying).file_holes.add(time_ms)
    again = backfill("AAAUSDT", start="2026-03-01T00:00", end="2026-03-01T06:00", chunk=20, workers=1, store="b.db")
    assert account(again) == (0, 354, 6, 0)
    assert zips(lying) == [FILE]


def test_a_day_whose_file_was_read_for_other_minutes_is_not_asked_again(lying, noted):
    lose(lying)

    summary = backfill("AAAUSDT", **DAY)

    assert account(summary) == (0, 1410, 30, 0)
    assert zips(lying) == [FILE]
    assert {row[2] for row in noted()} == {f"two complete answers lack it; {FILE} lacks it too"}
    assert all(row[3] >= lying.clock_ms for row in noted())


def test_a_month_that_was_read_counts_as_asked(lying, noted):
    lying.clock_ms = ms("2026-04-10T12:00:30")
    lose(lying)

    summary = backfill("AAAUSDT", start="2026-03-01", end="2026-04-01")

    assert account(summary) == (0, 31 * 1440 - 30, 30, 0)
    assert zips(lying) == ["AAAUSDT-1m-2026-03.zip"]
    assert {row[2] for row in noted()} == {"two complete answers lack it; AAAUSDT-1m-2026-03.zip lacks it too"}


def test_a_month_that_lacks_a_whole_day_says_nothing_about_it(lying, stored):
    """Such months are published while the file of the day is there."""
    lying.clock_ms = ms("2026-04-10T12:00:30")
    day = minutes("2026-03-09", 1440)
    symbol(lying).holes = set(day)
    lying.file_rows = lambda name, stem, rows: [row for row in rows if row[0] not in day or stem.endswith("-09")]

    summary = backfill("AAAUSDT", start="2026-03-01", end="2026-04-01")

    assert account(summary) == (0, 31 * 1440, 0, 0)
    assert zips(lying) == ["AAAUSDT-1m-2026-03.zip", "AAAUSDT-1m-2026-03-09.zip"]


def test_a_file_that_is_not_there_counts_as_lacking(lying, noted):
    symbol(lying).no_files.add("2026-03-01")

    summary = backfill("AAAUSDT", **HALF_HOUR)

    assert account(summary) == (0, 0, 30, 0)
    assert {row[2] for row in noted()} == {f"two complete answers lack it; {FILE} is not there"}
    assert (zips(lying), summary.files.absent) == ([FILE], 1)


def test_a_day_whose_file_was_not_there_is_asked_once_in_a_run(lying, noted):
    symbol(lying).no_files.add("2026-03-01")

    summary = backfill("AAAUSDT", **DAY)

    assert account(summary) == (0, 1410, 30, 0)
    assert zips(lying) == [FILE]
    assert all(row[3] for row in noted())


def test_a_file_that_is_not_sound_counts_as_asked_and_the_hole_says_so(lying, noted):
    lying.file_rows = lambda name, stem, rows: [row[:-1] for row in rows]

    summary = backfill("AAAUSDT", **HALF_HOUR)

    assert account(summary) == (0, 0, 30, 0)
    assert {row[2] for row in noted()} == {f"two complete answers lack it; {FILE} is not sound (csv)"}
    assert (zips(lying), dict(summary.files.failed)) == ([FILE], {"csv": 1})


def test_a_wrong_checksum_is_worth_another_download_here_too(lying, stored):
    told = []

    def tell(asked):
        if asked.path.endswith(".CHECKSUM") and not told:
            told.append(asked)
            return 200, f"{'0' * 64}  {FILE}\n".encode()
        return None

    lying.tell = tell

    summary = backfill("AAAUSDT", **HALF_HOUR)

    assert account(summary) == (0, 30, 0, 0)
    assert zips(lying) == [FILE, FILE]


@pytest.mark.parametrize("status", [503, 403])
def test_a_file_that_cannot_be_had_now_proves_nothing(status, lying, here, noted, monkeypatch):
    monkeypatch.setattr("laklak.connection._BACKOFF_MOST_S", 0.01)
    fails(lying, FILES, status)

    ended = here("backfill", "AAAUSDT", "--start", MORNING["start"], "--end", MORNING["end"], "--json")

    answer = ended.json
    assert (ended.exit, answer["written"], answer["holes"], answer["missing"]) == (1, 60, 0, 30)
    (failed,) = answer["failed_series"]
    assert failed["reason"] == "unproven"
    why = f"30 candles: the API gives none that is sound, and the file that may cannot be had now: {FILE}: 127.0.0.1:"
    assert failed["detail"].startswith(why)
    assert str(status) in failed["detail"]
    assert noted() == []
    lying.tell = lambda asked: None
    assert account(backfill("AAAUSDT", **MORNING)) == (0, 30, 0, 0)


def test_an_archive_that_is_down_proves_nothing(lying, noted, monkeypatch):
    monkeypatch.setenv("LAKLAK_BINANCE_ARCHIVE_URL", "http://127.0.0.1:9")

    summary = backfill("AAAUSDT", **DAY)

    assert account(summary) == (1, 1410, 0, 30)
    assert noted() == []


def test_rest_alone_asks_no_file_and_remembers_holes_that_were_held_against_none(lying, noted):
    summary = backfill("AAAUSDT", **HALF_HOUR, source="rest")

    assert account(summary) == (0, 0, 30, 0)
    assert {row[1:] for row in noted()} == {("hole", "two complete answers lack it", None)}
    assert zips(lying) == []


def test_without_an_address_of_files_it_is_as_with_rest_alone(lying, noted, monkeypatch):
    monkeypatch.delenv("LAKLAK_BINANCE_ARCHIVE_URL")

    assert account(backfill("AAAUSDT", **HALF_HOUR)) == (0, 0, 30, 0)
    assert {row[3] for row in noted()} == {None}
    assert account(backfill("AAAUSDT", **HALF_HOUR)) == (0, 0, 30, 0)


def test_a_day_before_the_first_file_is_settled_by_the_api_alone(lying, noted):
    symbol(lying).first_ms = ms("2019-10-01")
    symbol(lying).entry["onboardDate"] = ms("2019-10-01")
    symbol(lying).holes = minutes("2019-11-01T07:00", 30)

    summary = backfill("AAAUSDT", start="2019-11-01T06:00", end="2019-11-01T08:00")

    assert account(summary) == (0, 90, 30, 0)
    assert ({row[3] for row in noted()}, zips(lying)) == ({None}, [])
    assert account(backfill("AAAUSDT", start="2019-11-01T06:00", end="2019-11-01T08:00"))[1:] == (0, 30, 0)
    assert zips(lying) == []


@pytest.mark.parametrize(("interval", "count"), [("5m", 6), ("1h", 1), ("1d", 1)])
def test_other_intervals_have_files_of_their_own(interval, count, lying, stored, noted):
    symbol(lying).holes = minutes("2026-03-01", 1440) if interval == "1d" else minutes("2026-03-01T07:00", 60)
    day = {"start": "2026-02-28", "end": "2026-03-03"}

    summary = backfill("AAAUSDT", **day, interval=interval)

    assert (summary.exit, summary.holes, summary.missing) == (0, 0, 0)
    assert summary.written == summary.wanted
    assert f"AAAUSDT-{interval}-2026-03-01.zip" in zips(lying)


# Rows that the API garbles


def garbled(name, query, rows):
    return [[row[0], row[1], "0", *row[3:]] if row[0] in LACKING else row for row in rows]


def test_a_sound_row_of_the_file_wins_over_one_that_the_api_garbles(lying, stored):
    symbol(lying).holes.clear()
    lying.tell_rows = garbled

    summary = backfill("AAAUSDT", **MORNING)

    assert (*account(summary), summary.rejected) == (0, 90, 0, 0, 0)
    assert whole(stored, "2026-03-01T06:30", 90)


def test_a_row_that_the_api_garbles_and_the_file_lacks_is_rejected(lying, noted):
    symbol(lying).holes.clear()
    lose(lying)
    lying.tell_rows = garbled

    summary = backfill("AAAUSDT", **MORNING)

    assert (*account(summary), summary.rejected) == (1, 60, 0, 0, 30)
    rows = noted()
    assert {row[1] for row in rows} == {"rejected"}
    assert all(row[2].endswith(f"; {FILE} lacks it too") and row[3] for row in rows)
    again = backfill("AAAUSDT", **MORNING)
    assert (again.exit, again.rejected, again.candle_requests) == (0, 30, 0)


def test_a_row_that_is_garbled_in_the_file_alone_leaves_the_hole_with_what_it_says(lying, noted):
    lying.file_rows = lambda name, stem, rows: garbled(name, None, rows)

    summary = backfill("AAAUSDT", **MORNING)

    assert account(summary) == (0, 60, 30, 0)
    assert all(FILE in row[2] and "a price is not above zero" in row[2] for row in noted())


# Holes that were found before their file was due


def test_a_hole_that_was_found_before_its_file_was_due_is_filled_by_the_next_run_after_that(lying, stored, noted):
    lying.clock_ms = ms(BEFORE)
    assert account(backfill("AAAUSDT", **HALF_HOUR)) == (0, 0, 30, 0)
    assert ({row[3] for row in noted()}, zips(lying)) == ({None}, [])
    lying.clock_ms = ms(DUE)
    lying.forget()

    summary = backfill("AAAUSDT", **HALF_HOUR)

    assert (*account(summary), summary.holes_filled) == (0, 30, 0, 0, 30)
    assert whole(stored, "2026-03-01T07:00", 30)
    assert (noted(), zips(lying), lying.asked(KLINES)) == ([], [FILE], [])


def test_a_hole_is_held_against_its_file_once_when_it_is_due_and_once_a_week_later(lying, noted):
    lose(lying)
    asked = {}
    for clock in (BEFORE, DUE, "2026-03-05T12:00:30", "2026-03-09T08:59:30", "2026-03-09T09:00:30", "2026-06-01"):
        lying.clock_ms = ms(clock)
        lying.forget()
        assert account(backfill("AAAUSDT", **MORNING))[2:] == (30, 0)
        asked[clock] = zips(lying)

    assert asked == {
        BEFORE: [],
        DUE: [FILE],
        "2026-03-05T12:00:30": [],
        "2026-03-09T08:59:30": [],
        "2026-03-09T09:00:30": [FILE],
        "2026-06-01": [],
    }
    assert {row[2] for row in noted()} == {f"two complete answers lack it; {FILE} lacks it too"}


def test_a_file_that_comes_a_day_late_fills_its_holes_a_week_after_it_was_due(lying, stored):
    symbol(lying).no_files.add("2026-03-01")
    lying.clock_ms = ms(DUE)
    assert account(backfill("AAAUSDT", **HALF_HOUR)) == (0, 0, 30, 0)
    symbol(lying).no_files.clear()
    lying.clock_ms = ms("2026-03-09T09:00:30")

    assert account(backfill("AAAUSDT", **HALF_HOUR)) == (0, 30, 0, 0)
    assert whole(stored, "2026-03-01T07:00", 30)


def test_holes_of_a_store_that_says_nothing_about_files_are_held_against_them(lying, sql, stored):
    assert account(backfill("AAAUSDT", **MORNING, source="rest")) == (0, 60, 30, 0)
    sql("UPDATE absence SET venue_at = NULL, file_at = NULL")

    summary = backfill("AAAUSDT", **MORNING)

    assert (*account(summary), summary.stored_before) == (0, 30, 0, 0, 60)
    assert whole(stored, "2026-03-01T06:30", 90)


@pytest.mark.parametrize("rows", [{}, {"refetch": True}])
def test_a_known_hole_whose_file_cannot_be_had_stays_one_and_is_asked_again(rows, lying, noted, monkeypatch):
    monkeypatch.setattr("laklak.connection._BACKOFF_MOST_S", 0.01)
    backfill("AAAUSDT", **MORNING, source="rest")
    fails(lying, FILES)

    summary = backfill("AAAUSDT", **MORNING, **rows)

    assert (summary.exit, summary.holes, summary.missing, dict(summary.files.failed)) == (0, 30, 0, {"unreachable": 1})
    assert ({row[3] for row in noted()}, len(noted())) == ({None}, 30)
    lying.tell = lambda asked: None
    assert account(backfill("AAAUSDT", **MORNING)) == (0, 30, 0, 0)


def test_files_alone_fill_known_holes_too(lying, stored):
    backfill("AAAUSDT", **MORNING, source="rest")
    lying.forget()

    summary = backfill("AAAUSDT", **MORNING, source="archive")

    assert account(summary) == (0, 30, 0, 0)
    assert lying.asked(KLINES) == []
    assert whole(stored, "2026-03-01T06:30", 90)


def test_known_holes_of_a_day_whose_file_is_read_anyway_cost_no_request(lying, sql, stored):
    backfill("AAAUSDT", **MORNING, source="rest")

    summary = backfill("AAAUSDT", **DAY)

    assert (*account(summary), summary.holes_filled) == (0, 1440 - 60, 0, 0, 30)
    assert zips(lying) == [FILE]
    assert whole(stored, "2026-03-01", 1440)


def test_known_holes_of_a_month_that_is_read_anyway_cost_no_request(lying, noted):
    lose(lying, minutes("2026-03-01T07:00", 10))
    backfill("AAAUSDT", **MORNING, source="rest")
    lying.clock_ms = ms("2026-04-10T12:00:30")

    summary = backfill("AAAUSDT", start="2026-03-01", end="2026-04-01")

    assert (*account(summary), summary.holes_filled) == (0, 31 * 1440 - 70, 10, 0, 20)
    assert zips(lying) == ["AAAUSDT-1m-2026-03.zip"]
    assert all(row[3] for row in noted())


def test_a_refetch_holds_known_holes_against_files_too(lying, stored):
    backfill("AAAUSDT", **MORNING, source="rest")

    summary = backfill("AAAUSDT", **MORNING, refetch=True)

    assert (summary.exit, summary.holes, summary.missing, summary.holes_filled) == (0, 0, 0, 30)
    assert whole(stored, "2026-03-01T06:30", 90)


def test_a_refetch_of_what_the_api_has_lost_takes_it_from_the_file(lying, stored, sql):
    symbol(lying).holes.clear()
    backfill("AAAUSDT", **MORNING)
    sql("UPDATE candle SET close = 1 WHERE open_time = ?", min(LACKING))
    symbol(lying).holes = set(LACKING)

    summary = backfill("AAAUSDT", **MORNING, refetch=True)

    assert (summary.exit, summary.holes, summary.missing) == (0, 0, 0)
    assert whole(stored, "2026-03-01T06:30", 90)


@pytest.mark.parametrize("status", [503, 404])
def test_a_refetch_keeps_what_neither_source_gives_any_more(status, lying, stored, noted, monkeypatch):
    monkeypatch.setattr("laklak.connection._BACKOFF_MOST_S", 0.01)
    symbol(lying).holes.clear()
    backfill("AAAUSDT", **MORNING)
    symbol(lying).holes = set(LACKING)
    fails(lying, FILES, status)

    summary = backfill("AAAUSDT", **MORNING, refetch=True)

    assert (summary.exit, summary.holes, summary.missing) == (0, 0, 0)
    assert (whole(stored, "2026-03-01T06:30", 90), noted()) == (True, [])


def test_a_recheck_asks_both(lying, noted):
    lose(lying)
    assert account(backfill("AAAUSDT", **MORNING)) == (0, 60, 30, 0)
    lying.forget()
    assert account(backfill("AAAUSDT", **MORNING, recheck=True)) == (0, 0, 30, 0)
    assert (len(lying.asked(KLINES)), zips(lying)) == (2, [FILE])
    symbol(lying).file_holes.clear()

    assert account(backfill("AAAUSDT", **MORNING, recheck=True)) == (0, 30, 0, 0)
    assert noted() == []


def test_a_second_run_of_a_full_store_asks_no_file(lying):
    lose(lying)
    backfill("AAAUSDT", **DAY)
    lying.forget()

    assert account(backfill("AAAUSDT", **DAY)) == (0, 0, 30, 0)
    assert len(lying.hits) == 2


# What is said


def test_the_plan_and_the_summary_name_holes_that_are_held_against_files(lying, here):
    words = ("backfill", "AAAUSDT", "--start", MORNING["start"], "--end", MORNING["end"])
    assert here(*words, "--source", "rest").exit == 0
    lying.forget()

    shown = here(*words, "--dry-run")
    counted = here(*words, "--dry-run", "--json").json
    ended = here(*words)

    assert "30 known holes are held against 1 file" in shown.out
    assert (counted["holes"], counted["holes_held"], counted["hole_files"], counted["holes_later"]) == (30, 30, 1, 0)
    assert "nothing to fetch, all 90 candles accounted for; 30 known holes are held against 1 file" in ended.err
    assert "30 known holes were filled from files" in ended.out
    assert zips(lying) == [FILE]


def test_no_more_files_are_asked_for_known_holes_than_a_run_may(lying, here, noted, sql, monkeypatch):
    monkeypatch.setattr("laklak.engine.prepare.FILES_A_RUN", 2)
    days = [f"2026-02-{day:02d}" for day in range(10, 16)]
    symbol(lying).holes = {time_ms for day in days for time_ms in minutes(f"{day}T07:00", 3)}
    words = ("backfill", "AAAUSDT", "--start", "2026-02-10", "--end", "2026-02-16")
    here(*words, "--source", "rest")
    sql("UPDATE absence SET confirmed_at = open_time")

    shown = []
    for _ in range(4):
        lying.forget()
        ended = here(*words)
        shown.append((zips(lying), ended.exit, ended.err.partition("accounted for")[2].partition("\n")[0]))

    assert [sorted(files) for files, _, _ in shown] == [
        [f"AAAUSDT-1m-{day}.zip" for day in pair] for pair in (days[:2], days[2:4], days[4:], [])
    ]
    assert {code for _, code, _ in shown} == {0}
    assert shown[0][2] == "; 6 known holes are held against 2 files, 12 more in later runs"
    assert shown[2][2] == "; 6 known holes are held against 2 files"
    assert noted() == []


# Stops, and an API that is lost


def wait_for(venue, path):
    deadline = time.monotonic() + 60
    while not venue.asked(path):
        assert time.monotonic() < deadline, f"nothing asked for {path}"
        time.sleep(0.005)


@pytest.mark.parametrize("known", [False, True])
def test_a_stop_while_files_are_asked_ends_the_run_and_the_next_one_completes_it(known, lying, laklak, stored, noted):
    words = ("backfill", "AAAUSDT", "--start", MORNING["start"], "--end", MORNING["end"], "--json")
    if known:
        assert laklak(*words, "--source", "rest").exit == 0

    def tell(asked):
        if asked.path.endswith(".zip"):
            released.wait(20)
        return None

    released = threading.Event()
    lying.tell = tell
    lying.forget()
    process = laklak.start(*words)
    wait_for(lying, FILES)
    process.send_signal(signal.SIGTERM)
    ended = laklak.wait(process)
    released.set()

    answer = ended.json
    assert (ended.exit, answer["holes"], answer["missing"]) == ((143, 30, 0) if known else (143, 0, 30))
    assert answer["wanted"] == sum(
        answer[part] for part in ("stored_before", "written", "holes", "rejected", "missing")
    )
    assert len(noted()) == (30 if known else 0)
    lying.tell = lambda asked: None
    again = laklak(*words)
    assert (again.exit, again.json["written"], again.json["holes"], again.json["missing"]) == (0, 30, 0, 0)
    assert whole(stored, "2026-03-01T06:30", 90)


def test_an_api_that_refuses_the_series_in_the_end_leaves_what_the_file_has(lying, stored):
    """Its second half is refused for good when the first one has left minutes that wait for their file."""
    asked = []

    def tell(hit):
        if hit.path == KLINES:
            asked.append(hit)
            return (400, b'{"code":-1122,"msg":"Invalid symbol status."}') if len(asked) > 4 else None
        return None

    lying.tell = tell
    summary = backfill("AAAUSDT", **MORNING, chunk=60, workers=1)

    assert account(summary) == (0, 90, 0, 0)
    assert whole(stored, "2026-03-01T06:30", 90)


def test_a_question_that_fails_and_comes_back_asks_each_file_once(lying, stored, monkeypatch):
    monkeypatch.setattr("laklak.connection._BACKOFF_MOST_S", 0.01)
    late = ms("2026-03-01T07:30")
    symbol(lying).holes |= minutes("2026-03-01T07:40", 3)
    lose(lying, minutes("2026-03-01T07:40", 3))
    failed = []

    def tell(asked):
        if asked.path == KLINES and asked.query.get("startTime") == str(late) and len(failed) < 8:
            failed.append(asked)
            return 503, b""
        return None

    lying.tell = tell

    summary = backfill("AAAUSDT", **MORNING, chunk=60, workers=1)

    assert (account(summary), len(failed)) == ((0, 87, 3, 0), 8)
    assert zips(lying) == [FILE]


def test_a_region_that_is_refused_at_the_end_does_not_keep_files_from_being_asked(lying, stored):
    lying.tell = lambda asked: (
        (451, b"{}") if asked.path == "/fapi/v1/klines" and len(lying.asked(KLINES)) > 2 else None
    )

    summary = backfill("AAAUSDT", **MORNING, chunk=1000, workers=1)

    assert account(summary) == (0, 90, 0, 0)


@pytest.mark.parametrize("seed", [1, 2])
def test_whatever_fails_every_run_ends_and_adds_up_and_in_the_end_both_sources_are_stored(
    seed, lying, check_sum, stored, monkeypatch
):
    monkeypatch.setattr("laklak.connection._BACKOFF_MOST_S", 0.01)
    dice = random.Random(seed)
    names = ["AAAUSDT", "BBBUSDT", "CCCUSDT"]
    everything = minutes("2026-03-01", 2 * 1440)
    for name in names:
        spans = [minutes(dice.choice(sorted(everything)), dice.choice([1, 5, 40, 300])) for _ in range(6)]
        lying.list(name, first="2026-02-01", holes=set().union(*spans[:4]), file_holes=set().union(*spans[2:]))

    def tell(asked):
        if asked.path.startswith(FILES):
            # The same for a file and its checksum, however often it is asked.
            drawn = random.Random(f"{seed} {asked.path.removesuffix('.CHECKSUM')}").random()
            return (503, b"") if drawn < 0.3 else (404, b"") if drawn < 0.6 else None
        return (503, b"") if asked.path == KLINES and dice.random() < 0.1 else None

    lying.tell = tell
    span = {"start": "2026-03-01", "end": "2026-03-03", "chunk": dice.choice([99, 400]), "workers": dice.choice([1, 4])}
    for options in ({}, {"source": "rest"}, {}, {"refetch": True}, {"recheck": True}):
        summary = backfill(*names, **span, **options)
        check_sum(summary.as_json())
        assert summary.error is None
        assert summary.files.done == summary.files.planned
    lying.tell = lambda asked: None
    # The second one settles what two answers of the first one contradicted.
    for options in ({}, {"recheck": True}, {}):
        summary = backfill(*names, **span, **options)
    symbols = lying.symbols
    both = {
        (name, open_ms) for name in names for open_ms in everything & symbols[name].holes & symbols[name].file_holes
    }

    assert (summary.exit, summary.missing, summary.holes) == (0, 0, len(both))
    assert set(stored()) == {(name, open_ms) for name in names for open_ms in everything} - both


# Every store


@pytest.mark.parametrize("server", ["influxd", "influxd2"])
def test_on_influxdb_holes_are_held_against_files_likewise(server, lying, request, monkeypatch):
    server = request.getfixturevalue(server)
    if server.__class__.__name__ == "Influxd2":
        monkeypatch.setenv("LAKLAK_INFLUXDB_TOKEN", server.token)
    where = server.url(f"proof_{time.monotonic_ns()}")
    lose(lying, minutes("2026-03-01T07:10", 5))
    assert account(backfill("AAAUSDT", **MORNING, source="rest", store=where)) == (0, 60, 30, 0)

    summary = backfill("AAAUSDT", **MORNING, store=where)
    lying.forget()
    again = backfill("AAAUSDT", **MORNING, store=where)

    assert (*account(summary), summary.holes_filled) == (0, 25, 5, 0, 25)
    assert (account(again), zips(lying)) == ((0, 0, 5, 0), [])
    assert library.read_candles(where, SERIES).height == 85
