"""`python -m laklak` and the `laklak` program."""

from __future__ import annotations

import signal
import sys


def main() -> None:
    # While modules are imported nobody could answer a signal with the right words: it waits until `run` is ready.
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    from laklak.tasks.process import unsupported_system

    refusal = unsupported_system()
    if refusal is not None:
        if sys.stderr is not None:
            sys.stderr.write(f"error: {refusal}\n")
        sys.exit(2)
    from laklak.cli import run

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
