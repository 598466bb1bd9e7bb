"""Rate limits and bans: waited out when short, left alone when long, remembered between runs."""

from __future__ import annotations

import json
import time
from datetime import datetime
from pathlib import Path

import pytest

from laklak.simulator import Override
from laklak.simulator.dialects.binance import KLINES

END_MS = 1_772_323_200_000
DAY_MS = 86_400_000
WORDS = ("backfill", "LTCUSDT", "--days", "4", "--chunk", "99", "--json")


def moment_s(text):
    return datetime.fromisoformat(text).timestamp()


def ahead(text, seconds, since_s):
    """Whether the moment is so many seconds after one between `since_s` and now, give or take what is rounded."""
    return since_s + seconds - 2 <= moment_s(text) <= time.time() + seconds + 2


def banning_at(numbers, fault="418"):
    """A script that bans (or whatever `fault` is) at the n-th requests."""
    return lambda path, query, number: Override(fault=fault) if number in numbers else None


@pytest.mark.parametrize("retry_after", [True, False])
def test_a_ban_longer_than_max_wait_ends_the_run_with_75(retry_after, venue, laklak, check_sum, stored):
    running, since_s = venue(script=banning_at({20}), ban_s=900, retry_after=retry_after), time.time()
    ended = laklak(*WORDS, "--max-wait", "5s", "--workers", "2")
    answer = check_sum(ended.json)
    assert (ended.exit, answer["exit"], answer["complete"]) == (75, 75, False)
    assert answer["error"].startswith("try_later: ")
    assert ahead(answer["banned_until"], 900, since_s)
    assert answer["banned_until"] in ended.lines("error")[0] + ended.lines("hint")[0]
    # What came before the ban is kept; while it lasts nothing is sent but what was on the wire already.
    assert len(stored()) == answer["written"]
    assert answer["written"] in (16 * 99, 17 * 99)
    assert running.simulator.stats.refusals.total() + running.simulator.stats.faults.total() <= 2


def test_the_next_run_sends_nothing_while_a_ban_lasts(venue, here, check_sum):
    running, since_s = venue(script=banning_at({20}), ban_s=900), time.time()
    assert here(*WORDS, "--max-wait", "5s").exit == 75
    before = len(running.hits)
    for words in (WORDS, (*WORDS, "--dry-run"), ("backfill", "DOTUSDT", "--days", "1", "--json")):
        ended = here(*words, "--max-wait", "5s")
        assert ended.exit == 75
        assert ahead(ended.json["banned_until"], 900, since_s)
    assert check_sum(ended.json)["requests"] == 0
    assert len(running.hits) == before


def test_a_ban_is_known_to_runs_with_another_store_and_folder(venue, here, tmp_path, monkeypatch):
    running = venue(script=banning_at({5}), ban_s=900)
    assert here(*WORDS, "--max-wait", "5s").exit == 75
    before = len(running.hits)
    monkeypatch.chdir(tmp_path)
    assert here(*WORDS, "--max-wait", "5s", "--store", tmp_path / "other.db").exit == 75
    assert len(running.hits) == before


def test_a_ban_of_one_address_does_not_stop_another(venue, here):
    venue(script=banning_at({5}), ban_s=900)
    assert here(*WORDS, "--max-wait", "5s").exit == 75
    venue()
    assert here(*WORDS, "--max-wait", "5s").exit == 0


def test_a_ban_that_is_there_from_the_first_request_on_is_75(venue, here, check_sum):
    running = venue()
    running.ban(900)
    ended = here(*WORDS, "--max-wait", "5s")
    answer = check_sum(ended.json)
    assert (ended.exit, len(running.hits), answer["requests"]) == (75, 1, 1)
    assert answer["banned_until"]
    assert here(*WORDS, "--max-wait", "5s").exit == 75
    assert len(running.hits) == 1


@pytest.mark.parametrize("retry_after", [True, False])
def test_a_short_ban_is_waited_out(retry_after, venue, here, check_sum, stored, truth):
    running = venue(script=banning_at({20}), ban_s=2, retry_after=retry_after)
    ended = here(*WORDS, "--workers", "4")
    answer = check_sum(ended.json)
    assert (ended.exit, answer["complete"]) == (0, True)
    assert stored() == truth(["LTCUSDT"])
    (banned,) = [hit for hit in running.hits[:20] if hit.status == 418]
    during = [hit for hit in running.hits if banned.at_s + 0.5 < hit.at_s < banned.at_s + 1.9]
    assert during == []
    assert answer["rate_limited"] >= 1


def test_a_short_ban_that_an_earlier_run_was_told_is_waited_out_before_the_first_request(venue, here):
    running = venue(script=banning_at({5}), ban_s=2)
    assert here(*WORDS, "--max-wait", "1s").exit == 75
    before = len(running.hits)
    ended = here(*WORDS, "--max-wait", "30s")
    assert ended.exit == 0, ended.err
    assert {hit.status for hit in running.hits[before:]} == {200}
    banned = next(hit for hit in running.hits if hit.status == 418)
    assert running.hits[before].at_s - banned.at_s > 1.9


def test_a_ban_file_that_is_rubbish_is_no_obstacle(venue, here):
    running = venue(script=banning_at({5}), ban_s=900)
    assert here(*WORDS, "--max-wait", "5s").exit == 75
    (path,) = (Path.home() / "state" / "laklak").glob("ban-binance-*.json")
    assert json.loads(path.read_text())["until_ms"] > time.time() * 1000
    path.write_bytes(b"\xff{")
    before = len(running.hits)
    assert here(*WORDS, "--max-wait", "5s").exit == 75
    assert len(running.hits) == before + 1


def banned_for(here, running, **entry):
    """A run is banned, and what it wrote down is changed as a wrong clock would have done; gives the next run."""
    running.ban(900)
    assert here(*WORDS, "--max-wait", "5s").exit == 75
    (path,) = (Path.home() / "state" / "laklak").glob("ban-binance-*.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | entry))
    return here(*WORDS, "--max-wait", "5s")


def now_ms(years=0):
    return int((time.time() + years * 365 * 86_400) * 1000)


def test_a_ban_that_is_remembered_for_years_counts_for_three_days_and_its_message_says_how_to_forget_it(venue, here):
    running, since_s = venue(), time.time()
    ended = banned_for(here, running, until_ms=now_ms(10))
    assert ended.exit == 75
    assert ahead(ended.json["banned_until"], 3 * 86_400, since_s)
    assert "longer than any ban that is documented" in ended.json["error"]
    assert "--forget-ban" in ended.json["hint"]
    assert len(running.hits) == 1


def test_a_ban_that_was_noted_in_the_future_ends_after_its_length(venue, here):
    running, since_s = venue(), time.time()
    ended = banned_for(here, running, noted_at_ms=now_ms(5), until_ms=now_ms(5) + 120_000, venue_ms=None)
    assert ended.exit == 75
    (warning,) = ended.lines("warning")
    assert "noted in the future" in warning
    assert "--forget-ban" in warning
    first_s = moment_s(ended.json["banned_until"])
    assert ahead(ended.json["banned_until"], 120, since_s)
    # The next run does not begin to count again.
    assert abs(moment_s(here(*WORDS, "--max-wait", "5s").json["banned_until"]) - first_s) < 2


def test_a_ban_that_cannot_be_is_forgotten_when_that_is_asked_for(venue, here, stored, truth):
    running = venue(script=banning_at({5}), ban_s=900)
    assert here(*WORDS, "--max-wait", "5s").exit == 75
    assert here(*WORDS, "--max-wait", "5s").exit == 75
    running = venue_again(running)
    ended = here(*WORDS, "--max-wait", "5s", "--forget-ban")
    assert ended.exit == 0
    assert any(line.startswith("forgotten: http://127.0.0.1:") for line in ended.lines("warning"))
    assert stored() == truth(["LTCUSDT"])
    assert here(*WORDS, "--max-wait", "5s").exit == 0


def venue_again(running):
    """The venue has lifted its ban."""
    running.simulator.gate.banned_until_s = 0.0
    return running


def test_a_state_folder_that_cannot_be_written_costs_only_the_memory(venue, here, monkeypatch):
    venue(script=banning_at({5}), ban_s=900)
    Path("file").write_text("in the way")
    monkeypatch.setenv("LAKLAK_STATE_DIR", "file/state")
    ended = here(*WORDS, "--max-wait", "5s")
    assert ended.exit == 75


def test_429_with_retry_after_stops_the_whole_scope_for_that_long(venue, here, stored, truth):
    running = venue(script=banning_at({20}, "429"), retry_after=True)
    ended = here(*WORDS, "--workers", "8")
    assert ended.exit == 0
    assert stored() == truth(["LTCUSDT"])
    (refused,) = [hit for hit in running.hits if hit.status == 429]
    during = [hit for hit in running.hits if refused.at_s + 0.3 < hit.at_s < refused.at_s + 0.9]
    assert during == []
    assert (ended.json["rate_limited"], ended.json["retries"]) == (1, 0)


def test_429_for_ever_ends_the_run_after_max_wait(venue, here, check_sum):
    running = venue(
        script=lambda path, query, number: Override(fault="429") if path == KLINES else None, retry_after=True
    )
    since = time.monotonic()
    # Were it not for that, it would wait for ever.
    ended = here(*WORDS, "--max-wait", "2s")
    assert ended.exit == 75
    assert time.monotonic() - since >= 2
    assert check_sum(ended.json)["missing"] == 5760
    assert len(running.candle_hits) < 6 * 16


def test_429_without_retry_after_waits_for_the_next_minute_and_not_longer_than_max_wait(venue, here):
    running = venue(script=lambda path, query, number: Override(fault="429") if path == KLINES else None)
    ended = here(*WORDS, "--max-wait", "0s")
    assert ended.exit == 75
    assert len(running.candle_hits) <= 16


def test_a_firewall_in_the_middle_stops_the_scope_and_ends_with_75(venue, here, check_sum, stored):
    running = venue(script=lambda path, query, number: Override(fault="403") if number > 20 else None)
    ended = here(*WORDS, "--max-wait", "5s", "--workers", "2")
    assert ended.exit == 75
    # The listing, the clock and the first candle are asked for as well.
    assert check_sum(ended.json)["written"] == len(stored()) == 17 * 99
    assert len(running.hits) <= 22
