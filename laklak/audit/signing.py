"""Signatures by `ssh-keygen -Y`, with the keys that people have already; anyone can check them without laklak."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from laklak.errors import UsageError

NAMESPACE: Final = "laklak-certificate"
"""So that a signature of something else is none of a certificate."""
_KEY: Final = re.compile(r"\bSHA256:[\w+/=]+")


@dataclass(frozen=True, slots=True)
class Signature:
    """A signature that was looked at: `key` is the fingerprint, `who` the signer where those allowed are known.

    `why`: what is wrong with it; empty where it is good.
    """

    key: str | None = None
    who: str | None = None
    why: str = ""


def check_key(key: Path) -> None:
    """UsageError where nothing can be signed with `key`: before any work for it."""
    _program()
    _readable(key, "--sign", "name a private key of ssh-keygen, or a public one that your agent has")


def sign(data: bytes, key: Path) -> bytes:
    """The signature of `data`."""
    done = _run(["sign", "-f", str(key), "-n", NAMESPACE], data)
    if done.returncode:
        raise UsageError(f"--sign {key} cannot sign: {_said(done)}", hint="name a key that you can use")
    return done.stdout


def look_at_signature(data: bytes, signature: Path, allowed: Path | None) -> Signature:
    """Hold a signature against `data`, and against those who are `allowed` to sign (a file as ssh-keygen(1) has it)."""
    _readable(signature, "the signature", "without --signers none is needed")
    given = ["-n", NAMESPACE, "-s", str(signature)]
    if allowed is None:
        return _judged(_run(["check-novalidate", *given], data), None)
    _readable(allowed, "--signers", "name a file of allowed signers, as ssh-keygen(1) describes it")
    named = _run(["find-principals", "-s", str(signature), "-f", str(allowed)], b"")
    names = [name for line in named.stdout.decode(errors="replace").splitlines() for name in line.split(",") if name]
    found = Signature(why=f"its key is none of {allowed}")
    for name in names if not named.returncode else ():
        found = _judged(_run(["verify", "-f", str(allowed), "-I", name, *given], data), name)
        if not found.why:
            break
    return found


def _judged(done: subprocess.CompletedProcess[bytes], who: str | None) -> Signature:
    if done.returncode:
        return Signature(why=_said(done))
    key = _KEY.search(done.stdout.decode(errors="replace"))
    return Signature(None if key is None else key[0], who)


def _run(arguments: Sequence[str], data: bytes) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([_program(), "-Y", *arguments], input=data, capture_output=True, check=False)  # noqa: S603


def _program() -> str:
    found = shutil.which("ssh-keygen")
    if found is None:
        raise UsageError("there is no ssh-keygen, which signs and knows signatures", hint="install OpenSSH's client")
    return found


def _readable(path: Path, what: str, hint: str) -> None:
    try:
        path.open("rb").close()
    except OSError as exc:
        raise UsageError(f"{what} {path} cannot be read: {exc.strerror}", hint=hint) from exc


def _said(done: subprocess.CompletedProcess[bytes]) -> str:
    lines = done.stderr.decode(errors="replace").split("\n")
    # A warning that it has put into a frame comes after the frame.
    told = (line.strip() for line in lines if not line.startswith("@"))
    return next((line for line in told if line), "ssh-keygen does not say why")
