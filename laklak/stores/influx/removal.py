"""Statements that remove what laklak names and nothing else; laklak itself never runs one."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import anyio

from laklak.stores.influx.doubles import Doubles
from laklak.stores.influx.look import Look
from laklak.stores.influx.v1 import influxql

# A second for a million candles or two; whoever checks waits for it.
_COUNT_WITHIN_S: Final = 1.0


class Removal:
    """How doubles are removed, and what that takes: exactly their points, on 1.x in every retention policy."""

    def __init__(self, look: Look, measurement: str, doubles: Doubles, foreign: Collection[str]) -> None:
        self._look = look
        self.measurement = measurement
        self.doubles = doubles
        foreign = set(foreign) - set(doubles.apart)
        self._condition = influxql.tagged(doubles.apart, foreign)

    @property
    def statement(self) -> str:
        return influxql.delete(self.measurement, self._condition)

    async def points(self) -> int | None:
        """How many points they have; None where counting takes long."""
        with anyio.move_on_after(_COUNT_WITHIN_S):
            return await self._look.count(self.measurement, self._condition)
        return None

    async def in_other_policies(self) -> list[str]:
        """The retention policies that hold points of the same tags: a DELETE of 1.x takes those too."""
        others = [name for name in await self._look.policies() if name != self._look.policy]
        return [name for name in others if await self._look.count(self.measurement, self._condition, name)]
