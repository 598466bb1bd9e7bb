"""A command whose help shows its options in groups, the everyday ones first."""

from __future__ import annotations

from typing import Any, Final

from typer.core import TyperCommand

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
