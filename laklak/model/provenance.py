"""Where the candles of a store came from."""

from __future__ import annotations

from typing import Final, Literal

Source = Literal["rest", "archive", "copy", "live", "import"]
"""A venue's API, its bulk files, another store that does not know, a stream, a file of the user's."""

REST: Final[Source] = "rest"
ARCHIVE: Final[Source] = "archive"
COPY: Final[Source] = "copy"
