"""A child process of `laklak bench`: `python -m laklak.bench.worker JOB`.

The spec comes as JSON on the first line of stdin, which keeps secrets off the command line; the answer is a line of
JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from laklak.errors import LaklakError


def main(job: str) -> int:
    """Do one job. A LaklakError is the answer; any other error is a traceback without an answer."""
    spec: dict[str, Any] = json.loads(sys.stdin.readline())
    if job == "serve":
        from laklak.bench import limits, serving

        limits.run(serving.serve, spec)
        return 0
    try:
        answer = _answer(job, spec)
    except LaklakError as exc:
        answer = {"error": str(exc), "hint": exc.hint, "exit_code": exc.exit_code}
    sys.stdout.write(f"{json.dumps(answer)}\n")
    return 0


def _answer(job: str, spec: dict[str, Any]) -> dict[str, Any]:
    match job:
        case "reference":
            from laklak.bench import reference

            return reference.write(spec)
        case "download":
            from laklak.bench import limits

            return limits.run(limits.download, spec)
        case "open":
            from laklak.bench import limits

            return limits.run(limits.make, spec)
        case "write":
            from laklak.bench import limits

            return limits.run(limits.write, spec)
        case "verify":
            from laklak.bench import verifying

            return asyncio.run(verifying.verify(spec))
    raise ValueError(f"there is no job called {job!r}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
