"""What a command prints with --json when it could not begin, or was ended: an object of its own kind."""

from __future__ import annotations

import signal

import pytest

from laklak.simulator import Override

CHECK_KEYS = {"schema", "version", "exit", "problems", "warnings", "findings", "settings", "versions", "seconds"}


@pytest.mark.parametrize(
    ("words", "status", "about", "text"),
    [
        (("check", "--json", "--nonsense"), 2, "check", "No such option: --nonsense"),
        (("check", "--json", "surplus"), 2, "check", "surplus"),
        (("check", "--json", "--venue", "nowhere"), 2, "settings", "nowhere"),
    ],
)
def test_a_look_that_could_not_begin_is_a_look_with_one_problem(words, status, about, text, here):
    ended = here(*words)
    answer = ended.json
    assert set(answer) == CHECK_KEYS
    assert (ended.exit, answer["exit"], answer["problems"], answer["warnings"]) == (status, status, 1, 0)
    (finding,) = answer["findings"]
    assert (finding["about"], finding["verdict"]) == (about, "problem")
    assert text in finding["text"]


def test_a_look_that_a_signal_ends_is_a_look_with_its_exit_status(venue, laklak):
    running = venue(script=lambda path, query, number: Override(fault="hang"))
    process = laklak.start("check", "--json")
    running.wait_for_hits()
    process.send_signal(signal.SIGINT)
    ended = laklak.wait(process)
    assert set(ended.json) == CHECK_KEYS
    assert (ended.exit, ended.json["exit"]) == (130, 130)
    (finding,) = ended.json["findings"]
    assert (finding["about"], finding["text"], finding["facts"]) == (
        "check",
        "stopped by a signal",
        {"reason": "interrupted"},
    )


@pytest.mark.parametrize("words", [("copy", "--json"), ("copy", "a.db", "b.db", "--nonsense", "--json")])
def test_a_copy_that_could_not_begin_is_a_copy(words, here):
    ended = here(*words)
    assert (ended.exit, ended.json["exit"], ended.json["complete"]) == (2, 2, False)
    assert {"source", "destination", "source_missing", "outside_retention"} <= set(ended.json)


def test_what_is_no_command_is_answered_as_a_backfill_is(here, check_sum):
    ended = here("backfil", "--json")
    assert (ended.exit, check_sum(ended.json)["exit"]) == (2, 2)
