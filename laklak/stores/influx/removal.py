"""Statements that remove what laklak names and nothing else; laklak itself never runs one."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

import anyio

from laklak.stores.influx.doubles import Doubles
from laklak.stores.influx.look import Look, TaggedSeries
from laklak.stores.influx.v1 import influxql

# A second for a million candles or two; a person waits for it.
_COUNT_WITHIN_S: Final = 1.0


class Removal:
    """How to remove doubles, and what that removes: exactly their points, on 1.x in every retention policy."""

    def __init__(
        self, look: Look, measurement: str, doubles: Doubles, found: Iterable[TaggedSeries], foreign: Collection[str]
    ) -> None:
        """`found`: all series of the measurement; `foreign`: its tags that no candle has."""
        self.look = look
        self.measurement = measurement
        self.doubles = doubles
        self.along = doubles.along(found)
        foreign = set(foreign) - set(doubles.apart)
        self._condition = influxql.tagged(doubles.apart, foreign)

    @property
    def statement(self) -> str:
        return influxql.delete(self.measurement, self._condition)

    @property
    def predicate(self) -> dict[str, str]:
        """Its tags for a predicate that cannot require a tag to be absent."""
        told = {key: value for key, value in self.doubles.apart.items() if value}
        return {"_measurement": self.measurement, **told}

    async def points(self) -> int | None:
        """Count their points; None if that takes long."""
        with anyio.move_on_after(_COUNT_WITHIN_S):
            return await self.look.count(self.measurement, self._condition)
        return None

    async def in_other_policies(self) -> list[str]:
        """Return the retention policies with points of the same tags: a DELETE of 1.x removes those too."""
        if self.look.deletes != "all":
            return []
        others = [name for name in await self.look.policies() if name != self.look.policy]
        return [name for name in others if await self.look.count(self.measurement, self._condition, name)]
