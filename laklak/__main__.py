"""`python -m laklak` and the `laklak` program."""

from __future__ import annotations

import sys


def main() -> None:
    try:
        from laklak.cli import run

        status = run(sys.argv[1:])
    except KeyboardInterrupt:
        status = 130
    sys.exit(status)


if __name__ == "__main__":
    main()
