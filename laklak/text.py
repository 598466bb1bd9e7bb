"""What people wrote: read as small UTF-8 files, and shown back to them safely."""

from __future__ import annotations

import codecs
import contextlib
import difflib
import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

from laklak.errors import UsageError

# A scheme with its slashes, also without the colon, or the slashes alone.
_URL_HEAD = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.-]*:?)?//")
# No user stands before the host of these.
_TOKEN_HEAD = re.compile(r"influxdb[23]\b", re.IGNORECASE)
_SECRET_PARAMETER = re.compile(
    r"([?&;](?:p|[^=&;]*(?:token|passw|pwd|secret|api_?key)[^=&;]*)=)[^&]*", re.IGNORECASE | re.DOTALL
)
# The word of `stretch before a first candle` that has a plural.
_BEFORE_PREPOSITION = re.compile(r".+?(?= (?:before|after|beyond) )")

MOVES_STORE = "--store or LAKLAK_STORE puts the store elsewhere"
"""What to do if the store's place cannot be written."""
MOVES_STATE = "LAKLAK_STATE_DIR names another folder"
"""What to do if the state folder cannot be written."""
MOVES_LOG = "--log-file or LAKLAK_LOG_FILE puts it elsewhere, none switches it off"
"""What to do if the log cannot be written."""


def mask_url(text: str) -> str:
    """Return `text`, one URL or an attempt at one, as it may be shown: no password, no token.

    `influxdb://me:pw@host/db?token=t` becomes `influxdb://me:***@host/db?token=***`. If a bad URL leaves it open how
    far the password goes, it hides too much rather than too little.
    """
    found = _URL_HEAD.match(text)
    head, rest = (text[: found.end()], text[found.end() :]) if found else ("", text)
    before, at, after = rest.rpartition("@")
    user, colon, _ = before.partition(":")
    if before and not colon and _TOKEN_HEAD.match(head):
        rest = f"***@{after}"
    elif at and colon:
        rest = f"{user}:***@{after}"
    return _SECRET_PARAMETER.sub(r"\1***", head + rest)


def quoted(text: str, limit: int = 80) -> str:
    """Return `text` in quotes for an error: at most `limit` of its characters, control characters escaped."""
    return repr(text if len(text) <= limit else f"{text[:limit]}...")


def one_line(text: str) -> str:
    """Return foreign text as one line for the terminal and the log: unprintable characters become `?`."""
    return "".join(char if char.isprintable() else "?" for char in " ".join(text.split()))


def json_text(value: object, most: int) -> str:
    """Return a value of JSON as spelled, at most `most` characters, whatever it is."""
    # Imported late, because `laklak --help` loads this module.
    import orjson

    try:
        text = orjson.dumps(value).decode()
    except orjson.JSONEncodeError:
        # orjson reads four times deeper nesting than it writes, and no reader but ours makes longer integers.
        text = '"nested too deeply, or with too long a number, to show"'
    return text if len(text) <= most else text[:most] + "..."


def nearest(word: str, choices: Iterable[str]) -> str | None:
    """Return the choice that `word` most likely misspells, whatever its case; None if none is near."""
    by_lower = {choice.lower(): choice for choice in choices}
    found = difflib.get_close_matches(word.lower()[:80], by_lower, n=1, cutoff=0.6)
    return by_lower[found[0]] if found else None


def shown_path(path: Path) -> str:
    """Return `path` for people: from the working directory if it lies below that, control characters escaped."""
    # It may lie elsewhere, or the working directory may be gone: then show it as it is.
    with contextlib.suppress(ValueError, OSError):
        path = path.relative_to(Path.cwd())
    text = str(path)
    return text if text.isprintable() else repr(text)


def size_text(size_bytes: int) -> str:
    """Return a size for people: `4.1 GiB`."""
    size = float(size_bytes)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


def counted(count: int, noun: str) -> str:
    """Return `1 request`, `1,234 requests`, `2 looks beyond an end`; `series` is both."""
    if count == 1 or noun == "series":
        return f"{count:,} {noun}"
    head = _BEFORE_PREPOSITION.match(noun)
    end = head.end() if head else len(noun)
    return f"{count:,} {noun[:end]}{'es' if noun[:end].endswith('ch') else 's'}{noun[end:]}"


def some_of(items: Sequence[str], most: int = 8) -> str:
    """Return the first items of a list that may be long: `a, b and 539 more`."""
    more = f" and {len(items) - most} more" if len(items) > most else ""
    return ", ".join(items[:most]) + more


def folded(text: str, width: int | None, *, head: int = 0) -> list[str]:
    """Break a line between words into pieces of at most `width` columns; later ones are indented further.

    The first of them has `head` columns taken already. A word longer than a line stays whole.
    """
    if width is None or head + columns_of(text) <= width:
        return [text]
    indent = " " * min(len(text) - len(text.lstrip(" ")) + 2, max(0, width // 4))
    pieces: list[str] = []
    line, room = text[: len(text) - len(text.lstrip(" "))], width - head
    begun = False
    for word in text.split():
        longer = f"{line} {word}" if begun else f"{line}{word}"
        if begun and columns_of(longer) > room:
            pieces.append(line)
            longer, room = f"{indent}{word}", width
        line, begun = longer, True
    return [*pieces, line]


def columns_of(text: str) -> int:
    """Return how many terminal columns a text takes: some letters take two, marks on letters none."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )


def duration_text(seconds: float) -> str:
    """Return a time span for people: `0.4 s`, `45 s`, `12 min`, `4 h 53 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def share_text(share: float | None) -> str:
    """Return a percentage that is 100 only if nothing is missing."""
    if share is None:
        return "-"
    return "100%" if share == 100 else f"{int(share * 100) / 100:.2f}%"


def read_text(path: Path, *, limit_bytes: int, error: type[UsageError]) -> str:
    """Return the text of a small UTF-8 file, without a byte order mark; line ends stay as they are.

    Raises `error`, naming the file (and the line, if bytes are not UTF-8), if it cannot be read, is not text or is
    larger than `limit_bytes`.
    """
    data = read_bytes(path, limit_bytes=limit_bytes, error=error).removeprefix(codecs.BOM_UTF8)
    try:
        return data.decode()
    except UnicodeDecodeError as problem:
        line = data.count(b"\n", 0, problem.start) + 1
        message = f"{shown_path(path)}:{line}: byte 0x{data[problem.start]:02x} is not UTF-8 text"
        raise error(message, hint="save the file as UTF-8") from None


def read_bytes(path: Path, *, limit_bytes: int, error: type[UsageError]) -> bytes:
    """Return the bytes of a file; `error` if it cannot be read or is larger than `limit_bytes`."""
    name = shown_path(path)
    try:
        with path.open("rb") as file:
            data = file.read(limit_bytes + 1)
    except FileNotFoundError:
        raise error(f"{name} does not exist", hint="check the path") from None
    except IsADirectoryError:
        raise error(f"{name} is a folder, expected a text file", hint="name a file inside it") from None
    except PermissionError:
        raise error(f"{name} may not be read by this user", hint="check its permissions") from None
    except (OSError, ValueError) as problem:
        reason = (problem.strerror if isinstance(problem, OSError) else None) or str(problem)
        raise error(f"{name} cannot be read: {reason}", hint="check the path") from problem
    if len(data) > limit_bytes:
        raise error(f"{name} is larger than {limit_bytes:,} bytes", hint="is it the file you meant?")
    return data


def per_window(name: str, seconds: float) -> str:
    """Return the unit of a quota with its time: `weight a minute`, `requests in 5 s`."""
    spans = {1.0: "a second", 60.0: "a minute", 3600.0: "an hour", 86_400.0: "a day"}
    return f"{name} {spans.get(seconds, f'in {seconds:g} s')}"
