"""TLS: what is trusted, and in words why a server is not.

The roots are the system's, or those that SSL_CERT_FILE and SSL_CERT_DIR name, as in OpenSSL.
"""

from __future__ import annotations

import functools
import os
import ssl
from typing import Any, Final

CERT_FILE: Final = "SSL_CERT_FILE"

# OpenSSL's X509_V_ERR_...
_EXPIRED: Final = 10
_NOT_YET_VALID: Final = 9
_WRONG_HOST: Final = (62, 64)
_NO_TLS: Final = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST", "UNKNOWN_PROTOCOL", "PACKET_LENGTH")


class _Witness(ssl.SSLObject):
    """Adds to the error who signed the refused certificate; the error itself does not say."""

    def do_handshake(self) -> None:
        try:
            super().do_handshake()
        except ssl.SSLCertVerificationError as exc:
            exc.issuers = _issuers(self)  # type: ignore[attr-defined]
            raise


def context() -> ssl.SSLContext:
    """What every connection here trusts, by the environment at the time of the call."""
    return _context(os.environ.get(CERT_FILE), os.environ.get("SSL_CERT_DIR"))


@functools.lru_cache(maxsize=4)
def _context(_cert_file: str | None, _cert_folder: str | None) -> ssl.SSLContext:
    made = ssl.create_default_context()
    # The same certificates on every Python: since 3.13 it refuses roots that lack extensions, as companies' roots do,
    # and trusts a certificate in SSL_CERT_FILE without its signer.
    made.verify_flags &= ~ssl.VERIFY_X509_STRICT
    made.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    made.set_alpn_protocols(("http/1.1",))
    made.sslobject_class = _Witness
    return made


def fault_of(exc: BaseException) -> ssl.SSLError | None:
    """Return the TLS error in an exception of aiohttp, or the exception itself if it is one; else None."""
    for one in (getattr(exc, "certificate_error", None), getattr(exc, "os_error", None), exc):
        if isinstance(one, ssl.SSLError):
            return one
    return None


def is_untrusted(exc: BaseException) -> bool:
    """Whether another root would make the refused certificate good."""
    fault = fault_of(exc)
    ours = isinstance(fault, ssl.SSLCertVerificationError)
    return ours and getattr(fault, "verify_code", 0) not in (_EXPIRED, _NOT_YET_VALID, *_WRONG_HOST)


def why(exc: BaseException, host: str) -> str:
    """Say why there is no TLS with `host`: `self-signed certificate in certificate chain, issued by Corp CA`."""
    fault = fault_of(exc)
    if not isinstance(fault, ssl.SSLCertVerificationError):
        reason = str(getattr(fault, "reason", None) or fault or exc)
        return "it does not speak TLS" if reason in _NO_TLS else reason.replace("_", " ").lower()
    code = getattr(fault, "verify_code", 0)
    reason = str(getattr(fault, "verify_message", "") or fault.reason or fault)
    if code in _WRONG_HOST:
        reason = f"its certificate is not valid for {host}"
    elif code in (_EXPIRED, _NOT_YET_VALID):
        reason = f"its certificate {'has expired' if code == _EXPIRED else 'is not valid yet'}"
    issuers = getattr(fault, "issuers", ())
    return f"{reason}, issued by {', signed by '.join(issuers)}" if issuers else reason


def hint(exc: BaseException) -> str | None:
    """Say what to do; None if the fault is not about a certificate."""
    fault = fault_of(exc)
    if not isinstance(fault, ssl.SSLCertVerificationError):
        return None
    code = getattr(fault, "verify_code", 0)
    if code in (_EXPIRED, _NOT_YET_VALID):
        return "check the date of this machine; else whoever runs the server has to renew its certificate"
    if code in _WRONG_HOST:
        return "check the address: the name in it has to be one of those that the certificate is for"
    trust = f"if you trust who issued it (your company, as a rule), let {CERT_FILE} name a PEM file with their root"
    problem = _problem_of_file(os.environ.get(CERT_FILE))
    return f"{trust}; {problem}" if problem else trust


def _problem_of_file(path: str | None) -> str | None:
    # OpenSSL silently passes over a file that it cannot use.
    if not path:
        return None
    try:
        ssl.create_default_context(cafile=path)
    except ssl.SSLError:
        return f"{path}, which it names now, has no certificate in it"
    except OSError as exc:
        return f"{path}, which it names now, cannot be read: {(exc.strerror or str(exc)).lower()}"
    return f"{path}, which it names now, does not have it"


def _issuers(connection: ssl.SSLObject) -> tuple[str, ...]:
    """Return who signed the certificate, and the top of the chain that came with it; empty if unknown.

    Python has a public way to the chain only since 3.13, and none to the names in it.
    """
    try:
        chain: Any = connection._sslobj.get_unverified_chain()  # type: ignore[attr-defined]
        names = [_name(one.get_info()["issuer"]) for one in (chain[0], chain[-1])]
    except Exception:  # a private way may raise anything one day; the reason alone must do then
        return ()
    return tuple(dict.fromkeys(name for name in names if name))


def _name(parts: Any) -> str:
    fields = {key: value for part in parts for key, value in part}
    name = fields.get("commonName") or fields.get("organizationalUnitName") or ""
    organization = fields.get("organizationName") or ""
    return f"{name} ({organization})" if name and organization and organization not in name else name or organization
