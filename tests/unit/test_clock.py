"""The venue's clock between answers."""

import time

import pytest

from laklak.wire.clock import VenueClock

RECORDED = 1_772_323_200_000


def test_before_an_answer_this_machine_s_time_is_taken():
    clock = VenueClock()

    assert abs(clock.now_ms() - time.time() * 1000) < 1000


def test_it_goes_on_from_what_the_venue_said():
    clock = VenueClock()
    clock.set(RECORDED)
    first = clock.now_ms()

    assert RECORDED <= first < RECORDED + 1000
    assert clock.now_ms() >= first


def test_the_next_minute_has_begun_on_both_clocks_by_then():
    clock = VenueClock()
    # Half a minute apart from this machine's clock.
    clock.set((time.time_ns() // 1_000_000 // 60_000) * 60_000 + int(time.time() % 60 * 1000 + 30_000) % 60_000)

    wait_s = clock.next_window_s(60.0)

    assert 30 <= wait_s <= 60


@pytest.mark.parametrize("seconds", [0.5, 60, 1000])
def test_a_moment_on_this_machine_s_clock_is_understood_beside_a_replayed_venue(seconds):
    clock = VenueClock()
    clock.set(RECORDED)

    wait_s = clock.seconds_until(int((time.time() + seconds) * 1000), 2000)

    assert wait_s == pytest.approx(seconds, abs=0.3)


def test_a_moment_on_the_venue_s_clock_is_understood():
    clock = VenueClock()
    clock.set(RECORDED)

    assert clock.seconds_until(RECORDED + 90_000, 2000) == pytest.approx(90, abs=0.3)


@pytest.mark.parametrize("moment_ms", [0, RECORDED - 5000, 99_999_999_999_999])
def test_a_moment_that_makes_sense_on_neither_clock_is_none(moment_ms):
    clock = VenueClock()
    clock.set(RECORDED)

    assert clock.seconds_until(moment_ms, 2000) is None


def test_a_ban_longer_than_any_documented_one_is_believed_up_to_a_month():
    clock = VenueClock()

    wait_s = clock.seconds_until(int((time.time() + 7 * 86_400) * 1000), 4 * 86_400)

    assert wait_s == pytest.approx(7 * 86_400, abs=0.3)
