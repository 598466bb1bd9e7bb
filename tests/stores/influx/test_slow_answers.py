"""Answers that come late or slowly from servers that do as they are told: they are waited for."""

from __future__ import annotations

import time

import pytest
from slow_line import slow_line

from laklak.tasks.timing import StoreTiming


@pytest.fixture
def box():
    """No real server is needed here."""


def test_while_the_store_is_opened_an_answer_may_take_long_too(use, serve, kind, healthy):
    told = serve(lambda path, body: padded(healthy(path, body)))
    with slow_line(f"http://127.0.0.1:{told.port}", 60_000) as line:
        near = told.url.replace(f"127.0.0.1:{told.port}", line.url.removeprefix("http://"))
        use(
            lambda store: store.describe(),
            near,
            token="t" if kind == "2.x" else None,
            timing=StoreTiming(opening_patience_s=0.7),
        )


def padded(answer):
    """The same with 60 KB of white space at its end."""
    status, headers, body = answer
    return status, headers, body + b"\n" * 60_000 if body.startswith(b'{"results"') else body


def test_what_is_sent_has_time_to_get_there(use, serve, kind, healthy, series, deliver, caplog):
    def answer(path, body):
        if path.startswith(("/write", "/api/v2/write")):
            time.sleep(1.5)
        return healthy(path, body)

    told = serve(answer)
    settings = {"timing": StoreTiming(silence_s=0.2), **({"token": "t"} if kind == "2.x" else {})}
    use(lambda store: store.write([deliver(series, 3_000)]), told.url, **settings)

    assert sum(len(body) for body in told.written) > 100_000
    assert "passing fault" not in caplog.text
