"""What `laklak check` found, as data: one fact a line, with a verdict and what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from laklak.errors import LaklakError, SettingsError

SCHEMA: Final = 1

Severity = Literal["ok", "warning", "problem"]
"""`problem`: `laklak backfill` would not run now. `warning`: it would, and the user should look at this."""

Fact = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Finding:
    """One fact for people, with `hint` saying what to do; `facts` are the same in numbers, for programs."""

    verdict: Severity
    text: str
    hint: str | None = None
    facts: Mapping[str, Fact] = field(default_factory=dict)

    @classmethod
    def of(cls, error: LaklakError) -> Finding:
        """Make the problem that a run would end with."""
        return cls("problem", str(error), error.hint, {"reason": error.reason})


@dataclass(frozen=True, slots=True)
class Checkup:
    """All findings, in the order to show them.

    `versions`: program -> version. `settings`: (key, value as it may be shown, origin). `findings`: (subject, finding).
    `cut_short`: something did not answer in time, and a thread that cannot be ended may still wait for it.
    `ended_by`: the error that ended the look early, if any; it is a finding, too.
    """

    versions: Mapping[str, str]
    settings: Sequence[tuple[str, str, str]]
    findings: Sequence[tuple[str, Finding]]
    seconds: float = 0.0
    cut_short: bool = False
    ended_by: LaklakError | None = None

    @classmethod
    def without_look(cls, versions: Mapping[str, str], error: LaklakError) -> Checkup:
        """Return what is left to say when this error kept the look from its beginning or its end."""
        about = "settings" if isinstance(error, SettingsError) else "check"
        return cls(versions, (), [(about, Finding.of(error))], ended_by=error)

    def count(self, verdict: Severity) -> int:
        return sum(finding.verdict == verdict for _, finding in self.findings)

    @property
    def exit(self) -> int:
        """The exit status: 0, 2 if a backfill could not run, or that of the error that ended the look."""
        if self.ended_by is not None:
            return self.ended_by.exit_code
        return 2 if self.count("problem") else 0

    def as_json(self) -> dict[str, Any]:
        """Return what --json prints."""
        return {
            "schema": SCHEMA,
            "version": self.versions["laklak"],
            "exit": self.exit,
            "problems": self.count("problem"),
            "warnings": self.count("warning"),
            "findings": [
                {
                    "about": about,
                    "verdict": finding.verdict,
                    "text": finding.text,
                    "hint": finding.hint,
                    "facts": dict(finding.facts),
                }
                for about, finding in self.findings
            ],
            "settings": {key: {"value": value, "origin": origin} for key, value, origin in self.settings},
            "versions": dict(self.versions),
            "seconds": round(self.seconds, 3),
        }
