"""The results as lines of text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from laklak.bench.machine import headline, is_busy
from laklak.bench.results import Case, Results, number, pressure, rows, share_text
from laklak.text import counted, duration_text

_HEAD = (
    "",
    "candles/s",
    "CPU s/M",
    "peak MiB",
    "of fetch",
    "of write",
    "of budget",
    "writer busy",
    "queued",
    "simulator",
    "server",
)


def lines(results: Results) -> Iterator[str]:
    """Everything for a terminal of 120 columns."""
    work = results.work
    yield headline(results.machine)
    if is_busy(results.machine):
        yield f"load {results.machine['load_at_start']} at the start: others use this machine, the figures are rough"
    yield (
        f"{work['candles']:,} candles: {work['symbols']} symbols x {work['days']} days x 1m, seed {work['seed']}; "
        f"{'one run each' if results.repeats == 1 else f'medians of {results.repeats} runs, (least-most)'}"
    )
    yield ""
    yield from _aligned([_HEAD, *(_row(results, case) for case in rows(results, ("path", "download", "write")))])
    yield ""
    yield from _servers(results)
    yield from _replans(results)
    yield from _limiters(results)
    for what, why in results.skipped:
        yield f"{what}: skipped: {why}"
    yield ""
    yield from _legend(results)
    stores = counted(results.stores_checked, "store")
    yield (
        f"checked: {stores} read back, {work['candles']:,} candles each, every value the generator's, checksum "
        f"{results.checksum}; {duration_text(results.seconds)} in all"
    )


def _row(results: Results, case: Case) -> tuple[str, ...]:
    ratios = results.ratios(case)
    shares = (ratios.of_download, ratios.of_write, ratios.of_budget) if ratios else (None, None, None)
    rate = number(case.rate)
    spread = case.spread(lambda run: run.rate)
    if len(case.runs) > 1 and spread:
        rate += f" ({spread[0] / 1000:,.0f}-{spread[1] / 1000:,.0f}k)"
    rss = case.middle(lambda run: run.rss_bytes)
    return (
        case.name,
        rate,
        number(case.cpu_per_million, ".2f"),
        number(None if rss is None else rss / 2**20),
        *map(share_text, shares),
        pressure(case),
        number(case.middle(lambda run: run.queued), ".1f"),
        number(case.middle(lambda run: run.per_million(run.simulator_cpu_s)), ".2f"),
        number(case.middle(lambda run: run.per_million(run.server_cpu_s)), ".2f"),
    )


def _servers(results: Results) -> Iterator[str]:
    shares = [(case, case.middle(lambda run: run.cpu_of_server)) for case in rows(results, ("path", "write"))]
    seen = [f"{case.name} {share_text(share)}" for case, share in shares if share is not None]
    if seen:
        yield f"CPU as a share of the server's: {'; '.join(seen)}"


def _replans(results: Results) -> Iterator[str]:
    for case in rows(results, ("re-plan",)):
        seconds, cpu_s = case.middle(lambda one: one.seconds), case.middle(lambda one: one.cpu_s)
        yield (
            f"{case.name}: {number(seconds, '.2f')} s to see that {case.runs[0].candles:,} candles are there, "
            f"{number(cpu_s, '.2f')} s of CPU, the start of the program included"
        )


def _limiters(results: Results) -> Iterator[str]:
    for case in rows(results, ("limiter",)):
        run = case.runs[0]
        yield (
            f"{case.name}: {share_text(run.budget_share)} of the budget used in {duration_text(run.seconds)}, at most "
            f"{run.most_weight_in_60s:,} weight in any 60 s, {number(run.rate)} candles/s"
        )


def _legend(results: Results) -> Iterator[str]:
    yield "CPU s/M: user + system seconds of the measured process for a million candles, without its start;"
    yield "  simulator, server: the same of the other ends. peak: largest resident size."
    yield "of fetch, of write: candles/s as a share of the same bytes only fetched, the same rows only written;"
    yield f"  of budget: of the {results.budget_rate:,.0f} candles/s that 2400 weight a minute let through over REST."
    yield "writer busy: of the time in which candles came in; near 100 % the store holds the run up, else the source."
    yield "  queued: answers that waited for the writer, on average."


def _aligned(table: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    for row in table:
        first, *others = row
        cells = [first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))]
        yield "  ".join(cells).rstrip()
