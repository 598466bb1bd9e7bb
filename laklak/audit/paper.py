"""A certificate as a file: issued into it, signed beside it, and read back."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from laklak.audit.certificate import file_of
from laklak.audit.certified import BYTES_AT_MOST, Checked, why_refused
from laklak.audit.signing import Signature, check_key, look_at_signature, sign
from laklak.errors import UsageError
from laklak.report.place import Place, check_place
from laklak.text import read_bytes

_SIGNATURE: Final = ".sig"
_BEGIN: Final = re.compile(rb'\{\s*"format": "laklak-certificate-')
_BEGIN_OF_SIGNATURE: Final = re.compile(rb"-----BEGIN SSH SIGNATURE-----")


@dataclass(frozen=True, slots=True)
class Certificate:
    """What was issued: its `content` as README tells it, and its bytes, which are what is signed and checked."""

    content: Mapping[str, Any]
    data: bytes
    path: Path | None = None
    signature: Path | None = None

    @property
    def complete(self) -> bool:
        """Whether nothing was missing."""
        return bool(self.content["complete"])


def check_places(out: Path | None, key: Path | None) -> None:
    """UsageError where a certificate cannot go to, or be signed, before anything is looked at."""
    if key is not None:
        if out is None:
            raise UsageError("--sign needs a file to stand beside", hint="give --out FILE")
        check_key(key)
        check_place(signature_of(out), "--sign", _BEGIN_OF_SIGNATURE, "signature")
    if out is None:
        return
    check_place(out, "--out", _BEGIN, "certificate")
    if key is None and signature_of(out).exists():
        raise UsageError(
            f"{signature_of(out)} signs what is in {out} now, and would be none of the new one",
            hint="sign that too, with --sign KEY; or name another file",
        )


def put(content: Mapping[str, Any], out: Path | None, key: Path | None) -> Certificate:
    """Write it and its signature, where they are wanted."""
    data = file_of(content)
    # Signed before anything is written: a key that cannot be used leaves all as it was.
    signature = None if key is None else sign(data, key)
    if out is None:
        return Certificate(content, data)
    _write(out, data)
    if signature is None:
        return Certificate(content, data, out)
    _write(signature_of(out), signature)
    return Certificate(content, data, out, signature_of(out))


def _write(path: Path, data: bytes) -> None:
    with Place(path, "--out").whole() as waiting, open(waiting, "wb") as file:
        file.write(data)


def signature_of(path: Path) -> Path:
    return path.with_name(path.name + _SIGNATURE)


def read_back(file: Path, signers: Path | None = None) -> Checked:
    """Whether a certificate is as it was issued, and signed by one of `signers` where these are named."""
    data = read_bytes(file, limit_bytes=BYTES_AT_MOST, error=UsageError)
    why = why_refused(data)
    signature: Signature | None = None
    beside = signature_of(file)
    if not why and (signers is not None or beside.exists()):
        if beside.exists():
            signature = look_at_signature(data, beside, signers)
            why = signature.why and f"its signature {beside} is none of it: {signature.why}"
        else:
            why = f"there is no signature {beside}"
    return Checked(file, {} if why else json.loads(data), why, signature)
