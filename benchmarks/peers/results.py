"""The figures of a comparison: every run of every peer in every stage."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from cases import PEERS, Peer

SCHEMA = 1


@dataclass(slots=True)
class Results:
    """`peers`: the names of those that work.  `runs`: by name and stage.  `missing`: what was not measured, and why."""

    machine: dict[str, Any]
    plan: dict[str, Any]
    versions: dict[str, str]
    peers: list[str] = field(default_factory=list)
    runs: dict[str, dict[str, list[dict[str, Any]]]] = field(default_factory=dict)
    missing: list[tuple[str, str]] = field(default_factory=list)

    def add(self, peer: Peer, stage: str, run: Mapping[str, Any]) -> None:
        self.runs.setdefault(peer.name, {}).setdefault(stage, []).append(dict(run))

    def miss(self, name: str, why: str) -> None:
        self.missing.append((name, why))

    def of(self, name: str, stage: str) -> list[dict[str, Any]]:
        return self.runs.get(name, {}).get(stage, [])

    def middle(self, name: str, stage: str, value: Callable[[dict[str, Any]], float]) -> tuple[float, float] | None:
        """The median of a value, and half the spread of it as a share; None where it was not measured."""
        values = sorted(map(value, self.of(name, stage)))
        if not values:
            return None
        centre = median(values)
        return centre, (values[-1] - values[0]) / 2 / centre if centre else 0.0

    def as_json(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "machine": self.machine,
            "plan": self.plan,
            "versions": self.versions,
            "peers": [
                {
                    "name": peer.name,
                    "does": peer.does,
                    "version": self.version_of(peer),
                    "median": {
                        stage: {
                            "candles_per_second": self.middle(peer.name, stage, rate),
                            "cpu_s_per_million": self.middle(peer.name, stage, cpu_per_million),
                            "rss_bytes": self.middle(peer.name, stage, lambda run: run["rss_bytes"]),
                        }
                        for stage in ("here", "away")
                    },
                    "runs": self.runs.get(peer.name, {}),
                }
                for peer in PEERS
                if peer.name in self.peers
            ],
            "missing": [{"peer": name, "why": why} for name, why in self.missing],
        }

    def version_of(self, peer: Peer) -> str | None:
        return self.machine["laklak"] if peer.needs == "laklak" else self.versions.get(peer.needs)


def rate(run: dict[str, Any]) -> float:
    """Candles a second."""
    return float(run["candles"] / run["seconds"])


def cpu_per_million(run: dict[str, Any]) -> float:
    """CPU seconds, user and system, for a million candles."""
    return float(run["cpu_s"] * 1e6 / run["candles"])
