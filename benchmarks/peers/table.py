"""The comparison as a table of Markdown."""

from __future__ import annotations

from typing import Any

from cases import PEERS
from results import Results, cpu_per_million, rate

from laklak.bench.machine import headline, is_busy

HEAD = (
    "| | does | candles/s | CPU s per million | peak MB | candles/s, 50 ms away | fixed job, own rate limit |"
    " 2 % of answers fail | 2 % of answers spoiled |\n"
    "|---|---|--:|--:|--:|--:|--:|--:|--:|"
)


def markdown(results: Results) -> str:
    """The table, with the machine and the versions under it."""
    plan = results.plan
    candles = plan["symbols"] * plan["days"] * 1440
    lines = [HEAD]
    lines += [_line(results, peer.name, peer.does) for peer in PEERS if peer.name in results.peers]
    lines += [
        "",
        f"{candles:,} candles a run, median of {plan['repeats']} (± half the spread). The last two columns count "
        "minutes lost / doubled / wrong; `silent` means that nothing said so.",
        headline(results.machine) + ("; others were using it, so these figures are rough" * is_busy(results.machine)),
        ", ".join(f"{name} {results.versions[name]}" for name in _named(results)),
    ]
    lines += [f"Not measured: {name}: {why}" for name, why in results.missing]
    return "\n".join(lines)


def _line(results: Results, name: str, does: str) -> str:
    here = results.middle(name, "here", rate)
    cells = [
        name,
        does,
        _number(here, ",.0f"),
        _number(results.middle(name, "here", cpu_per_million), ".2f"),
        _number(_megabytes(results, name), ",.0f", spread=False),
        _number(results.middle(name, "away", rate), ",.0f"),
        _limited(results.of(name, "limited")),
        _damage(results.of(name, "failing")),
        _damage(results.of(name, "spoiled")),
    ]
    return "| " + " | ".join(cells) + " |"


def _megabytes(results: Results, name: str) -> tuple[float, float] | None:
    return results.middle(name, "here", lambda run: run["rss_bytes"] / 1e6)


def _number(value: tuple[float, float] | None, form: str, *, spread: bool = True) -> str:
    if value is None:
        return "-"
    return format(value[0], form) + (f" ± {100 * value[1]:.0f} %" if spread and value[1] else "")


def _limited(runs: list[dict[str, Any]]) -> str:
    if not runs:
        return "-"
    run = runs[0]
    lost = f", {run['lost']:,} lost" if run["lost"] else ""
    refused = f", {run['refused']} refused" if run["refused"] else ""
    return f"{run['seconds']:.0f} s{refused}{lost}"


def _damage(runs: list[dict[str, Any]]) -> str:
    if not runs:
        return "-"
    run = runs[0]
    counts = f"{run['lost']:,} / {run['doubled']:,} / {run['wrong']:,}"
    is_damaged = run["lost"] or run["doubled"] or run["wrong"]
    return counts + (" silent" if is_damaged and not run["told"] else "")


def _named(results: Results) -> list[str]:
    names = ("ccxt", "python-binance", "freqtrade", "requests", "pandas", "influxdb-client", "aiohttp")
    return [name for name in names if name in results.versions]
