"""What is asked next: in order, on time, each once."""

from laklak.model.candles import Chunk
from laklak.model.series import MINUTE_MS, Interval, Series, TimeRange
from laklak.plan.answers import Question
from laklak.plan.missing import SeriesPlan
from laklak.report.ledger import Ledger
from laklak.sources.backlog import Agenda

MINUTE = Interval.parse("1m")


def chunk_of(series, minute):
    part = TimeRange(minute * MINUTE_MS, (minute + 1) * MINUTE_MS)
    return Chunk(series, part, (part,))


def series_with(chunks, symbol="A"):
    series = Series("binance", symbol, MINUTE)
    wanted = TimeRange(0, chunks * MINUTE_MS)
    ledger = Ledger(SeriesPlan(series, wanted, None, 0, 0, 0, (wanted,) if chunks else ()))
    return ledger, (chunk_of(series, minute) for minute in range(chunks))


def taken(agenda, now=0.0):
    """Symbol and minute of every question there is now."""
    found = []
    while (entry := agenda.take(now)) is not None:
        ledger, question = entry
        found.append((ledger.plan.series.symbol, question.chunk.range.start_ms // MINUTE_MS))
    return found


def question(ledger, minute):
    return Question(chunk_of(ledger.plan.series, minute))


def test_first_questions_come_series_by_series():
    agenda = Agenda([series_with(2, "A"), series_with(0, "B"), series_with(1, "C")])

    assert taken(agenda) == [("A", 0), ("A", 1), ("C", 0)]


def test_a_ledger_knows_its_last_first_question_when_it_is_handed_out():
    ledger, chunks = series_with(2)
    agenda = Agenda([(ledger, chunks)])

    seen = []
    while agenda.take(0.0) is not None:
        seen.append(ledger.exhausted)

    assert seen == [False, True]


def test_chunks_are_cut_only_when_they_are_needed():
    def endless():
        series = Series("binance", "A", MINUTE)
        minute = 0
        while True:
            yield chunk_of(series, minute)
            minute += 1

    agenda = Agenda([(series_with(1)[0], endless())])

    assert agenda.take(0.0) is not None


def test_a_later_question_waits_for_its_time_and_then_comes_first():
    ledger, chunks = series_with(3)
    agenda = Agenda([(ledger, chunks)])
    agenda.later(ledger, question(ledger, 77), at=5.0)

    before = agenda.take(4.9)[1].chunk
    due = agenda.take(5.0)[1].chunk

    assert before.range.start_ms == 0
    assert due.range.start_ms == 77 * MINUTE_MS


def test_later_questions_come_by_their_time_and_then_by_their_turn():
    ledger, _ = series_with(0)
    agenda = Agenda([])
    for minute, at in ((1, 3.0), (2, 2.0), (3, 3.0), (4, 2.0)):
        agenda.later(ledger, question(ledger, minute), at)

    assert agenda.next_due() == 2.0
    assert [minute for _, minute in taken(agenda, 3.0)] == [2, 4, 1, 3]
    assert agenda.next_due() is None


def test_leftovers_come_when_everything_else_is_through():
    ledger, chunks = series_with(1)
    agenda = Agenda([(ledger, chunks)])
    agenda.last(ledger, question(ledger, 9))
    assert taken(agenda) == [("A", 0)]

    agenda.done(ledger)

    assert taken(agenda) == [("A", 9)]


def test_a_leftover_waits_for_questions_that_are_still_to_come_later():
    ledger, _ = series_with(0)
    agenda = Agenda([])
    agenda.last(ledger, question(ledger, 9))
    agenda.later(ledger, question(ledger, 1), at=5.0)

    assert agenda.take(4.0) is None
    assert not agenda.finished


def test_an_agenda_is_finished_when_all_that_was_taken_is_done():
    ledger, chunks = series_with(2)
    agenda = Agenda([(ledger, chunks)])
    taken(agenda)
    assert (agenda.finished, agenda.outstanding, ledger.open_questions) == (False, 2, 2)

    agenda.done(ledger)
    agenda.done(ledger)

    assert (agenda.finished, agenda.outstanding, ledger.open_questions) == (True, 0, 0)


def test_nothing_more_is_asked_of_a_series_that_was_refused():
    refused, chunks = series_with(3, "A")
    agenda = Agenda([(refused, chunks), series_with(1, "B")])
    agenda.take(0.0)
    agenda.later(refused, question(refused, 8), at=0.0)

    refused.refuse("unknown_symbol", "no")

    assert taken(agenda) == [("B", 0)]
    assert agenda.next_due() is None


def test_what_holds_a_series_keeps_its_leftovers_back_and_the_agenda_open():
    ledger, chunks = series_with(1)
    agenda = Agenda([(ledger, chunks)])
    agenda.hold(ledger)
    agenda.last(ledger, question(ledger, 9))
    assert taken(agenda) == [("A", 0)]
    agenda.done(ledger)

    held = taken(agenda), agenda.finished, ledger.open_questions
    agenda.done(ledger)

    assert held == ([], False, 1)
    assert taken(agenda) == [("A", 9)]


def test_what_held_a_series_may_bring_questions_before_it_lets_go():
    ledger, _ = series_with(0)
    agenda = Agenda([])
    agenda.hold(ledger)
    agenda.later(ledger, question(ledger, 3), at=1.0)
    agenda.done(ledger)

    assert not agenda.finished
    assert taken(agenda, 1.0) == [("A", 3)]
    assert (agenda.outstanding, ledger.open_questions) == (1, 1)


def test_a_series_is_through_when_no_question_of_it_is_open_or_still_to_come():
    ledger, chunks = series_with(1)
    agenda = Agenda([(ledger, chunks)])
    seen = [agenda.through(ledger)]

    agenda.take(0.0)
    agenda.later(ledger, question(ledger, 7), 5.0)
    agenda.last(ledger, question(ledger, 8))
    seen.append(agenda.through(ledger))
    agenda.done(ledger)
    seen.append(agenda.through(ledger))
    for now in (5.0, 6.0):
        agenda.take(now)
        seen.append(agenda.through(ledger))
        agenda.done(ledger)
        seen.append(agenda.through(ledger))

    assert seen == [False, False, False, False, False, False, True]


def test_a_series_that_is_refused_is_through_whatever_was_still_to_come():
    ledger, chunks = series_with(3)
    agenda = Agenda([(ledger, chunks)])
    agenda.take(0.0)
    agenda.later(ledger, question(ledger, 7), 5.0)

    ledger.refuse("symbol_status", "code -1122")
    assert not agenda.through(ledger)
    agenda.done(ledger)

    assert agenda.through(ledger)
