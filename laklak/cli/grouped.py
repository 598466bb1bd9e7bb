"""Commands whose help shows options in groups, the everyday ones first, and names commands with whole sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from typer.core import TyperCommand, TyperGroup

# The groups, as the options name them with `rich_help_panel`. Rich itself would take more time than all the rest of
# the help, and its boxes are no good in a pipe.
WHAT: Final = "What"
HOW: Final = "How deep, and against what"
WHERE: Final = "Where"
OUTPUT: Final = "Output"
SPEED: Final = "Source and speed"
AGAIN: Final = "Once more, or in spite of something"
SETTINGS: Final = "Settings that are seldom needed"
TROUBLES: Final = "Limits and troubles"
_WITHOUT: Final = "Help"
_PANELS: Final = (WHAT, HOW, WHERE, OUTPUT, SPEED, AGAIN, TROUBLES, SETTINGS, _WITHOUT)


_LONGEST_SENTENCE: Final = 500


class Commands(TyperGroup):
    """Names each of its commands with the first sentence that it says of itself: whole, over several lines if need be.

    Typer cuts it where the line ends.
    """

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(
                [(name, one.get_short_help_str(_LONGEST_SENTENCE)) for name, one in self.shown(ctx).items()]
            )

    def shown(self, ctx: Any) -> Mapping[str, Any]:
        """Return the commands that the help names, in its order."""
        return self.commands


class GroupedCommand(TyperCommand):
    """Shows each group under its name."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        arguments: list[tuple[str, str]] = []
        groups: dict[str, list[tuple[str, str]]] = {name: [] for name in _PANELS}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is None:
                continue
            if parameter.param_type_name == "argument":
                arguments.append(record)
            else:
                groups[getattr(parameter, "rich_help_panel", None) or _WITHOUT].append(record)
        for name, records in [("Arguments", arguments), *groups.items()]:
            if records:
                with formatter.section(name):
                    formatter.write_dl(records)
