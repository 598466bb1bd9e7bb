"""What is asked next: in order, on time, each once."""

from laklak.archives import ARCHIVES
from laklak.archives.split import FilePart
from laklak.model.candles import Chunk
from laklak.model.series import DAY_MS, MINUTE_MS, Interval, Series, TimeRange
from laklak.plan.answers import FirstQuestion
from laklak.plan.missing import SeriesPlan
from laklak.report.ledger import Ledger
from laklak.sources.backlog import Backlog
from laklak.tasks.stopping import Stopper

MINUTE = Interval.parse("1m")
FILE = FilePart(ARCHIVES["binance"].day_file(Series("binance", "A", MINUTE), 0), (TimeRange(0, DAY_MS),))


def chunk_of(series, minute):
    part = TimeRange(minute * MINUTE_MS, (minute + 1) * MINUTE_MS)
    return Chunk(series, part, (part,))


def series_with(chunks, symbol="A"):
    series = Series("binance", symbol, MINUTE)
    wanted = TimeRange(0, chunks * MINUTE_MS)
    ledger = Ledger(SeriesPlan(series, wanted, None, 0, 0, 0, (wanted,) if chunks else ()))
    return ledger, (chunk_of(series, minute) for minute in range(chunks))


def taken(backlog, now=0.0):
    """Symbol and minute of every question there is now."""
    found = []
    while (entry := backlog.take(now)) is not None:
        ledger, question = entry
        found.append((ledger.plan.series.symbol, question.chunk.range.start_ms // MINUTE_MS))
    return found


def question(ledger, minute):
    return FirstQuestion(chunk_of(ledger.plan.series, minute))


def test_first_questions_come_series_by_series():
    backlog = Backlog(Stopper(), [series_with(2, "A"), series_with(0, "B"), series_with(1, "C")])

    assert taken(backlog) == [("A", 0), ("A", 1), ("C", 0)]


def test_a_ledger_knows_its_last_first_question_when_it_is_handed_out():
    ledger, chunks = series_with(2)
    backlog = Backlog(Stopper(), [(ledger, chunks)])

    seen = []
    while backlog.take(0.0) is not None:
        seen.append(ledger.exhausted)

    assert seen == [False, True]


def test_chunks_are_cut_only_when_they_are_needed():
    def endless():
        series = Series("binance", "A", MINUTE)
        minute = 0
        while True:
            yield chunk_of(series, minute)
            minute += 1

    backlog = Backlog(Stopper(), [(series_with(1)[0], endless())])

    assert backlog.take(0.0) is not None


def test_a_later_question_waits_for_its_time_and_then_comes_first():
    ledger, chunks = series_with(3)
    backlog = Backlog(Stopper(), [(ledger, chunks)])
    backlog.later(ledger, question(ledger, 77), at=5.0)

    before = backlog.take(4.9)[1].chunk
    due = backlog.take(5.0)[1].chunk

    assert before.range.start_ms == 0
    assert due.range.start_ms == 77 * MINUTE_MS


def test_later_questions_come_by_their_time_and_then_by_their_turn():
    ledger, _ = series_with(0)
    backlog = Backlog(Stopper(), [])
    for minute, at in ((1, 3.0), (2, 2.0), (3, 3.0), (4, 2.0)):
        backlog.later(ledger, question(ledger, minute), at)

    assert backlog.next_due() == 2.0
    assert [minute for _, minute in taken(backlog, 3.0)] == [2, 4, 1, 3]
    assert backlog.next_due() is None


def test_leftovers_come_when_everything_else_is_through():
    ledger, chunks = series_with(1)
    backlog = Backlog(Stopper(), [(ledger, chunks)])
    backlog.last(ledger, question(ledger, 9))
    assert taken(backlog) == [("A", 0)]

    backlog.done((ledger, question(ledger, 0)))

    assert taken(backlog) == [("A", 9)]


def test_a_leftover_waits_for_questions_that_are_still_to_come_later():
    ledger, _ = series_with(0)
    backlog = Backlog(Stopper(), [])
    backlog.last(ledger, question(ledger, 9))
    backlog.later(ledger, question(ledger, 1), at=5.0)

    assert backlog.take(4.0) is None
    assert not backlog.finished


def test_an_backlog_is_finished_when_all_that_was_taken_is_done():
    ledger, chunks = series_with(2)
    backlog = Backlog(Stopper(), [(ledger, chunks)])
    taken(backlog)
    assert (backlog.finished, backlog.outstanding, ledger.open_questions) == (False, 2, 2)

    backlog.done((ledger, question(ledger, 0)))
    backlog.done((ledger, question(ledger, 0)))

    assert (backlog.finished, backlog.outstanding, ledger.open_questions) == (True, 0, 0)


def test_nothing_more_is_asked_of_a_series_that_was_refused():
    refused, chunks = series_with(3, "A")
    backlog = Backlog(Stopper(), [(refused, chunks), series_with(1, "B")])
    backlog.take(0.0)
    backlog.later(refused, question(refused, 8), at=0.0)

    refused.refuse("unknown_symbol", "no")

    assert taken(backlog) == [("B", 0)]
    assert backlog.next_due() is None


def test_a_file_keeps_leftovers_back_and_the_backlog_open():
    ledger, chunks = series_with(1)
    backlog = Backlog(Stopper(), [(ledger, chunks)])
    backlog.add_files(ledger, [FILE])
    backlog.last(ledger, question(ledger, 9))
    assert taken(backlog) == [("A", 0)]
    backlog.done((ledger, question(ledger, 0)))

    held = taken(backlog), backlog.finished, ledger.open_questions
    backlog.done((ledger, FILE))

    assert held == ([], False, 1)
    assert taken(backlog) == [("A", 9)]


def test_a_file_may_bring_questions_before_it_is_through():
    ledger, _ = series_with(0)
    backlog = Backlog(Stopper())
    backlog.add_files(ledger, [FILE])
    backlog.later(ledger, question(ledger, 3), at=1.0)
    backlog.done((ledger, FILE))

    assert not backlog.finished
    assert taken(backlog, 1.0) == [("A", 3)]
    assert (backlog.outstanding, ledger.open_questions) == (1, 1)


def test_a_series_is_through_when_no_question_of_it_is_open_or_still_to_come():
    ledger, chunks = series_with(1)
    backlog = Backlog(Stopper(), [(ledger, chunks)])
    seen = [backlog.through(ledger)]

    backlog.take(0.0)
    backlog.later(ledger, question(ledger, 7), 5.0)
    backlog.last(ledger, question(ledger, 8))
    seen.append(backlog.through(ledger))
    backlog.done((ledger, question(ledger, 0)))
    seen.append(backlog.through(ledger))
    for now in (5.0, 6.0):
        backlog.take(now)
        seen.append(backlog.through(ledger))
        backlog.done((ledger, question(ledger, 0)))
        seen.append(backlog.through(ledger))

    assert seen == [False, False, False, False, False, False, True]


def test_a_series_that_is_refused_is_through_whatever_was_still_to_come():
    ledger, chunks = series_with(3)
    backlog = Backlog(Stopper(), [(ledger, chunks)])
    backlog.take(0.0)
    backlog.later(ledger, question(ledger, 7), 5.0)

    ledger.refuse("symbol_status", "code -1122")
    assert not backlog.through(ledger)
    backlog.done((ledger, question(ledger, 0)))

    assert backlog.through(ledger)
