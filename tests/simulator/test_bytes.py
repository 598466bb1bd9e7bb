"""Every kind of answer is, byte for byte, as it was recorded when the simulator spoke for one venue only."""

import hashlib
import io
import json
import zipfile
from pathlib import Path

import pytest

from laklak.model.series import DAY_MS, MINUTE_MS
from laklak.simulator import BAD_ROW_KINDS, Override, SymbolOverride, generate, parse_fault
from laklak.simulator.sources.generated import DEFAULT_END_MS

START = DEFAULT_END_MS - 2 * DAY_MS
KEPT = json.loads((Path(__file__).parents[1] / "recorded" / "simulator_answers.json").read_text())
HEADERS = ("Content-Type", "Content-Length", "X-MBX-USED-WEIGHT-1M", "X-Laklak-Simulator", "Retry-After", "ETag")
V1 = "/fapi/v1/"
BTC = f"{V1}klines?symbol=BTCUSDT"
MINUTES = f"{BTC}&interval=1m"
FIRST = f"{MINUTES}&startTime={START}&limit=3"
ZIPS = "/data/futures/um/daily/klines/BTCUSDT/1m/BTCUSDT-1m-2026-11-19.zip"
LONG_BYTES = 4000


def clock():
    return 1_800_000_018.5


def odd(**changes):
    return {"overrides": {"BTCUSDT": SymbolOverride(**changes)}}


def fault(text):
    return {"faults": [parse_fault(text)]}


# What the simulator is told, and what is asked of it one after the other.
TALKS = {
    "metadata": ({"budget": 1234}, [f"{V1}{name}" for name in ("time", "ping", "exchangeInfo", "depth", "")] + ["/"]),
    "advertised": ({"advertised": 777}, [f"{V1}exchangeInfo"]),
    "ranges": (
        {},
        [
            FIRST,
            f"{MINUTES}&limit=2",
            f"{MINUTES}&endTime={START + 5 * MINUTE_MS}&limit=2",
            f"{MINUTES}&startTime={START + 1}&endTime={START + 3 * MINUTE_MS}",
            f"{MINUTES}&startTime={START - DAY_MS}&endTime={START - 1}",
            f"{BTC}&interval=1h&startTime={START}&limit=2",
            f"{BTC}&interval=1d&limit=2",
            f"{MINUTES}&startTime={START}&limit=1500",
            MINUTES,
        ],
    ),
    "refusals": (
        odd(delisted=True),
        [
            FIRST,
            f"{V1}klines",
            f"{V1}klines?symbol=A%20B&interval=1m",
            f"{V1}klines?symbol=NOPEUSDT&interval=1m",
            BTC,
            f"{BTC}&interval=7m",
            f"{MINUTES}&limit=1501",
            f"{MINUTES}&limit=x",
            f"{MINUTES}&startTime=soon",
            f"{MINUTES}&endTime=1.5",
            f"{MINUTES}&startTime=2&endTime=1",
        ],
    ),
    "listing changed": (
        odd(onboard_ms=START + MINUTE_MS, delivery_ms=START + 3 * MINUTE_MS, status="SETTLING"),
        [f"{V1}exchangeInfo", FIRST],
    ),
    "holes": (odd(holes=frozenset([START + MINUTE_MS]), first_ms=START), [FIRST, ZIPS]),
    "kept bad rows": (odd(bad_rows={START: b'[1,"raw"]', START + MINUTE_MS: "zero_price"}), [FIRST]),
    "over the budget": ({"budget": 5, "patience": 1, "ban_s": 300}, [FIRST, BTC, FIRST, f"{V1}time"]),
    "retry after": ({"budget": 1, "patience": 1, "retry_after": True}, [BTC, BTC, f"{V1}ping"]),
    "a neighbour": ({"neighbour_weight_per_minute": 600}, [FIRST]),
    "server errors": (fault("5xx=100%"), [FIRST] * 12),
    "faults of some": ({"faults": [parse_fault("403=20%"), parse_fault("badrow=30%")], "seed": 7}, [FIRST] * 12),
    "everywhere": (fault("451=100%@all"), [f"{V1}time", f"{V1}depth"]),
    "a script": (
        {"script": lambda path, query, number: Override(502, {"Retry-After": "7"}, b"later") if number == 2 else None},
        [FIRST, FIRST],
    ),
    "files": ({}, [ZIPS, ZIPS.replace("BTC", "NOPE"), "/data/futures/um/nothing"]),
    "files without a header": ({"archive_header": False}, [ZIPS]),
    **{name: (fault(f"{name}=100%"), [FIRST, f"{V1}ping"]) for name in ("html", "403", "451", "429", "418", "flicker")},
    **{f"badrow {kind}": (fault(f"badrow=100%:{kind}"), [FIRST, FIRST]) for kind in BAD_ROW_KINDS},
    "sticky": (fault("badrow-sticky=2%"), [f"{MINUTES}&startTime={START}&limit=200"]),
}


def kept_of(reply):
    """What of an answer is kept: of a long body what it digests to."""
    headers = {name: reply.headers[name] for name in HEADERS if name in reply.headers}
    content = reply.body
    if content.startswith(b"PK"):
        # Another zlib packs the same rows into other bytes.
        packed = zipfile.ZipFile(io.BytesIO(content))
        content = packed.read(packed.namelist()[0])
        del headers["Content-Length"], headers["ETag"]
    long = len(content) > LONG_BYTES
    return [reply.status, headers, f"sha256:{hashlib.sha256(content).hexdigest()}" if long else content.decode()]


def answers(talk, name, source=None):
    settings, paths = TALKS[name]

    async def conversation(client):
        return [kept_of(await client.fetch(path)) for path in paths]

    return talk(conversation, source or generate(symbols=6, days=2), wall_clock=clock, **settings)


@pytest.mark.parametrize("name", TALKS)
def test_an_answer_has_the_bytes_it_always_had(talk, name):
    assert answers(talk, name) == KEPT["generated"][name]


def test_a_recorded_listing_is_sent_as_it_was_recorded(talk, recorded):
    assert answers(talk, "metadata", recorded) == KEPT["recorded"]["metadata"]


def test_another_method_than_get_is_an_unknown_path(talk):
    async def conversation(client):
        return [kept_of(await client.fetch(path, "POST")) for path in (f"{V1}time", FIRST, ZIPS)]

    assert talk(conversation, wall_clock=clock) == KEPT["other method"]
