"""A server that has no bulk file at all proves nothing: a wrong address, or a proxy that answers 404 to everything."""

from __future__ import annotations

from bulk_files import backfill
from lost_minutes import DAY, FILE, HALF_HOUR, LACKING, MORNING, account, fails, lose, symbol
from lying_venue import FILES

WORDS = ("backfill", "AAAUSDT", "--start", MORNING["start"], "--end", MORNING["end"], "--json")


def test_a_server_that_answers_404_to_every_file_proves_no_hole_and_is_told_once(lying, here, noted):
    fails(lying, FILES, 404)

    ended = here(*WORDS)

    answer = ended.json
    assert (ended.exit, answer["written"], answer["holes"], answer["missing"]) == (1, 60, 0, 30)
    (failed,) = answer["failed_series"]
    assert failed["reason"] == "unproven"
    (warning,) = ended.lines("warning")
    assert "no bulk file was ever found at 127.0.0.1" in warning
    assert "LAKLAK_BINANCE_ARCHIVE_URL" in warning
    assert noted() == []


def test_a_day_of_which_everything_is_404_is_told_once_however_many_files_are_asked(lying, here):
    fails(lying, FILES, 404)

    ended = here("backfill", "AAAUSDT", "--start", "2026-02-20", "--end", "2026-03-02", "--json")

    assert (ended.exit, ended.json["missing"], ended.json["files"]["absent"]) == (1, 30, 10)
    assert len(ended.lines("warning")) == 1


def test_a_server_that_had_files_and_has_none_now_proves_no_hole_until_it_has_some_again(lying, here, noted):
    symbol(lying).holes.clear()
    assert account(backfill("AAAUSDT", start="2026-02-27", end="2026-02-28")) == (0, 1440, 0, 0)
    symbol(lying).holes = set(LACKING)
    fails(lying, FILES, 404)

    ended = here(*WORDS)

    assert (ended.exit, ended.json["holes"], ended.json["missing"], noted()) == (1, 0, 30, [])
    (warning,) = ended.lines("warning")
    assert "had bulk files and has none" in warning
    lying.tell = lambda asked: None
    symbol(lying).no_files.add("2026-03-01")
    assert account(backfill("AAAUSDT", **HALF_HOUR)) == (0, 0, 30, 0)
    assert {row[2] for row in noted()} == {f"two complete answers lack it; {FILE} is not there"}


def test_a_server_that_gives_a_file_and_then_404_to_everything_in_the_same_run_proves_no_hole(lying, here, noted):
    def once(asked):
        gone = FILES in asked.path and "2026-02-28" not in asked.path
        if FILES in asked.path and "2026-02-28" in asked.path and asked.path.endswith("CHECKSUM"):
            once.given += 1
            gone = once.given > 1
        return (404, b"") if gone else None

    once.given = 0
    lying.tell = once

    ended = here(
        "backfill", "AAAUSDT", "--start", "2026-02-28", "--end", "2026-03-02", "--json", "--archive-connections", "1"
    )

    assert once.given > 1
    assert (ended.exit, ended.json["holes"], ended.json["missing"], noted()) == (1, 0, 30, [])
    (warning,) = ended.lines("warning")
    assert "had bulk files and has none" in warning


def test_a_server_of_which_a_file_is_found_in_the_run_is_believed(lying, noted):
    symbol(lying).no_files.add("2026-03-01")

    assert account(backfill("AAAUSDT", **DAY)) == (0, 1410, 30, 0)
    assert {row[2] for row in noted()} == {f"two complete answers lack it; {FILE} is not there"}


def test_check_says_whether_the_bulk_files_can_be_asked(lying, here, monkeypatch):
    said = [here("check").out]
    fails(lying, FILES, 404)
    said.append(here("check").out)
    monkeypatch.setenv("LAKLAK_BINANCE_ARCHIVE_URL", "http://127.0.0.1:9")
    ended = here("check", "--json")

    assert "its bulk files: 127.0.0.1" in said[0]
    assert "answers and has files" in said[0]
    assert "none of the files is there that were looked for" in said[1]
    (finding,) = [one for one in ended.json["findings"] if "bulk files" in one["text"]]
    assert (finding["verdict"], "cannot be asked" in finding["text"]) == ("warning", True)
    assert "LAKLAK_BINANCE_ARCHIVE_URL" in finding["hint"]


def test_with_files_alone_it_is_said_what_helps_about_what_they_lack(lying, here):
    lose(lying)

    ended = here("backfill", "AAAUSDT", "--start", MORNING["start"], "--end", MORNING["end"], "--source", "archive")

    assert ended.exit == 1
    assert "run it with --source auto" in ended.out
    assert "the same command" not in ended.out


def test_known_holes_stay_what_they_were(lying, noted):
    lose(lying)
    backfill("AAAUSDT", **MORNING, source="rest")
    fails(lying, FILES, 404)

    assert account(backfill("AAAUSDT", **MORNING)) == (0, 0, 30, 0)
    assert {row[3] for row in noted()} == {None}


def test_months_that_such_a_server_lacks_are_not_remembered(lying, here):
    lying.list("OLDUSDT", first="2026-01-01", last="2026-01-31T23:59", listed=False, refused=-1121)
    fails(lying, FILES, 404)
    span = {"start": "2026-01-30", "end": "2026-02-01"}

    ended = here("backfill", "OLDUSDT", "--start", span["start"], "--end", span["end"])

    assert ended.exit == 2
    assert "no bulk file was ever found at 127.0.0.1" in ended.err
    lying.tell = lambda asked: None
    assert account(backfill("OLDUSDT", **span)) == (0, 2880, 0, 0)
