"""The results as a picture: handwritten SVG, legible on light and dark pages.

python -m laklak.bench.picture RESULTS.json > picture.svg
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Final

from laklak.bench.machine import headline
from laklak.bench.results import Case, Results, number, pressure, read_results, rows, share_text

_WIDTH: Final = 1000
_LEFT: Final = 20
_BARS: Final = 150
_BARS_END: Final = 480
_TOP: Final = 112
_STEP: Final = 46
_BAR: Final = 22
_COLUMNS: Final = (
    ("candles/s", 565),
    ("CPU s / million", 670),
    ("peak MiB", 740),
    ("of writing", 812),
    ("of budget", 882),
    ("held up by", 980),
)

# No background; the colours follow the reader's scheme.
_STYLE: Final = """
text { font: 13px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; fill: #1f2328; }
.title { font-size: 17px; font-weight: 600; }
.soft { fill: #59636e; font-size: 12px; }
.right { text-anchor: end; }
.rest { fill: #2f6fde; }
.archive { fill: #1a7f5a; }
.limit { fill: none; stroke: #59636e; stroke-width: 1.2; stroke-dasharray: 4 3; }
.line { stroke: #d1d9e0; stroke-width: 1; }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc; }
  .soft { fill: #9ea7b3; }
  .rest { fill: #6aa3ff; }
  .archive { fill: #4fc495; }
  .limit { stroke: #9ea7b3; }
  .line { stroke: #3d444d; }
}
"""


def draw(results: Results) -> str:
    """A bar for each path, its store's limit around the bar, the figures beside it."""
    paths = rows(results, ("path",))
    rates = [case.rate for case in rows(results, ("path", "write"))]
    height = _TOP + _STEP * len(paths) + 92
    scale = (_BARS_END - _BARS) / max([1.0, *rates])
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}"'
        ' role="img">',
        f"<title>{escape(_said(paths))}</title>",
        f"<style>{_STYLE}</style>",
        _text(_LEFT, 30, "laklak: candles a second from the venue into the store", "title"),
        _text(_LEFT, 52, headline(results.machine), "soft"),
        _text(_LEFT, 70, _work(results), "soft"),
        *(_text(x, _TOP - 14, name, "soft right") for name, x in _COLUMNS),
        f'<line class="line" x1="{_LEFT}" x2="{_WIDTH - _LEFT}" y1="{_TOP - 6}" y2="{_TOP - 6}"/>',
    ]
    for index, case in enumerate(paths):
        parts += _row(results, case, _TOP + 8 + index * _STEP, scale)
    parts += _legend(results, height - 62)
    return "\n".join([*parts, "</svg>", ""])


def _row(results: Results, case: Case, y: int, scale: float) -> Iterator[str]:
    middle = y + _BAR - 6
    ratios = results.ratios(case)
    write = results.find("write", store=case.store)
    length = case.rate * scale
    yield _text(_LEFT, middle, case.name.replace("->", "\N{RIGHTWARDS ARROW}"))
    yield f'<rect class="{case.source}" x="{_BARS}" y="{y}" width="{length:.1f}" height="{_BAR}" rx="2"/>'
    if write is not None:
        width = write.rate * scale
        yield f'<rect class="limit" x="{_BARS}" y="{y - 3}" width="{width:.1f}" height="{_BAR + 6}" rx="3"/>'
    rss = case.middle(lambda run: run.rss_bytes)
    figures = (
        number(case.rate),
        number(case.cpu_per_million, ".2f"),
        number(None if rss is None else rss / 2**20),
        share_text(ratios.of_write if ratios else None),
        share_text(ratios.of_budget if ratios else None),
        pressure(case),
    )
    for (_, x), figure in zip(_COLUMNS, figures, strict=True):
        yield _text(x, middle, figure, "right")


def _legend(results: Results, y: int) -> Iterator[str]:
    yield f'<line class="line" x1="{_LEFT}" x2="{_WIDTH - _LEFT}" y1="{y - 22}" y2="{y - 22}"/>'
    yield f'<rect class="limit" x="{_LEFT}" y="{y - 11}" width="26" height="13" rx="3"/>'
    yield _text(
        _LEFT + 36, y, "of writing: the same rows only written to the same store, with nothing beside it", "soft"
    )
    words = (
        f"of budget: of the {results.budget_rate:,.0f} candles/s that 2400 weight a minute let through over REST",
        "held up by: the store or the source; how much of the time the writer was writing",
    )
    for line, sentence in enumerate(words, 1):
        yield _text(_LEFT, y + 20 * line, sentence, "soft")


def _work(results: Results) -> str:
    work = results.work
    runs = "one run each" if results.repeats == 1 else f"medians of {results.repeats} runs"
    return (
        f"{work['candles']:,} one-minute candles of {work['symbols']} symbols, simulator and server on the same "
        f"machine, every stored value checked; {runs}"
    )


def _said(paths: list[Case]) -> str:
    return "; ".join(f"{case.name}: {number(case.rate)} candles a second" for case in paths)


def _text(x: float, y: float, words: str, kind: str = "") -> str:
    style = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.0f}" y="{y:.0f}"{style}>{escape(words)}</text>'


if __name__ == "__main__":
    sys.stdout.write(draw(read_results(json.loads(Path(sys.argv[1]).read_bytes()))))
