"""A certificate authority of one's own, as companies have them: made with the openssl program."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

NAME = "Example Corp Root"
"""The authority's common name."""


def why_not() -> str | None:
    """Why there can be none here; None where there can."""
    return None if shutil.which("openssl") else "there is no openssl to make certificates with"


@dataclass
class Authority:
    """Signs certificates in `folder`; `root` is the PEM file that has to be trusted for them."""

    folder: Path
    newest: Path = field(init=False)
    """The certificate that was signed last."""

    def __post_init__(self) -> None:
        self.root, self._key = self.folder / "root.pem", self.folder / "root.key"
        self._run("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", f"/O=Example Corp/CN={NAME}",
                  "-days", "9", "-keyout", self._key, "-out", self.root)  # fmt: skip
        (self.folder / "index").write_text("")
        (self.folder / "ca.cnf").write_text(
            "[ca]\ndefault_ca=own\n[own]\n"
            f"database={self.folder}/index\nnew_certs_dir={self.folder}\nrand_serial=yes\ndefault_md=sha256\n"
            "policy=any\ncopy_extensions=copy\nunique_subject=no\n[any]\ncommonName=supplied\n"
        )

    def context(
        self, *names: str, start: str = "20250101000000Z", end: str = "20990101000000Z", with_root: bool = True
    ) -> ssl.SSLContext:
        """What a server for these names (`DNS:localhost`, `IP:127.0.0.1`) needs; it sends the root too `with_root`."""
        number = len(list(self.folder.glob("*.csr")))
        key, request, made, chain = (self.folder / f"{number}.{kind}" for kind in ("key", "csr", "crt", "chain"))
        self._run("req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=server", "-keyout", key, "-out", request,
                  "-addext", f"subjectAltName={','.join(names)}")  # fmt: skip
        self._run("ca", "-batch", "-notext", "-config", self.folder / "ca.cnf", "-cert", self.root, "-keyfile",
                  self._key, "-in", request, "-out", made, "-startdate", start, "-enddate", end)  # fmt: skip
        chain.write_text(made.read_text() + (self.root.read_text() if with_root else ""))
        self.newest = made
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain, key)
        return context

    @staticmethod
    def _run(*words: object) -> None:
        subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True, timeout=60)
