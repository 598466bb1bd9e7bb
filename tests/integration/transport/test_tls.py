"""Servers whose certificates are signed by a company's own authority, or are no good: told in words, with a way out."""

from __future__ import annotations

import asyncio
import contextlib
import ssl

import pytest
from authority import NAME, Authority, why_not
from talks import ask, head_of, opened, quick, response

from laklak.errors import TransientError, VenueUnreachable
from laklak.tasks.stopping import Stopper
from laklak.wire import tls
from laklak.wire.downloads import Downloader


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    if reason := why_not():
        pytest.skip(reason)
    return Authority(tmp_path_factory.mktemp("authority"))


@contextlib.asynccontextmanager
async def serving(context):
    """A venue that speaks TLS with this context; gives its URL."""

    async def serve(reader, writer):
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await head_of(reader)
            writer.write(response())
            await writer.drain()
        writer.close()

    # That a client turns away in the middle of a greeting is what these tests are about.
    asyncio.get_running_loop().set_exception_handler(lambda loop, what: None)
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


def asked(context):
    """Ask such a venue for its clock."""

    async def main():
        async with serving(context) as url, opened(url) as transport:
            return await ask(transport, tries=1)

    return asyncio.run(main())


def refused(context):
    with pytest.raises(VenueUnreachable) as caught:
        asked(context)
    return caught.value


@pytest.mark.parametrize("with_root", [True, False])
def test_a_root_that_nobody_here_knows_is_told_with_its_name_and_the_way_to_trust_it(authority, with_root):
    error = refused(authority.context("IP:127.0.0.1", with_root=with_root))

    reason = "self-signed certificate in certificate chain" if with_root else "unable to get local issuer certificate"
    assert "no trusted connection to 127.0.0.1:" in str(error)
    assert f"{reason}, issued by {NAME}" in str(error)
    assert "SSL_CERT_FILE" in error.hint


def test_with_the_root_in_ssl_cert_file_it_is_trusted(authority, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.root))

    assert asked(authority.context("IP:127.0.0.1")) == 1_771_977_600_000


def test_a_certificate_of_the_server_itself_is_trusted_where_the_file_names_it(authority, monkeypatch):
    context = authority.context("IP:127.0.0.1", with_root=False)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.newest))

    assert asked(context) == 1_771_977_600_000


def test_every_python_trusts_the_same_certificates():
    flags = tls.context().verify_flags

    assert flags & ssl.VERIFY_X509_PARTIAL_CHAIN
    assert not flags & ssl.VERIFY_X509_STRICT  # what 3.13 sets, and the root of these tests would fail


@pytest.mark.parametrize(("text", "words"), [(None, "no such file"), ("nothing", "has no certificate in it")])
def test_a_file_of_roots_that_is_of_no_use_is_told(authority, monkeypatch, tmp_path, text, words):
    if text is not None:
        (tmp_path / "root.pem").write_text(text)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "root.pem"))

    error = refused(authority.context("IP:127.0.0.1"))

    assert "root.pem, which it names now" in error.hint
    assert words in error.hint


def test_a_certificate_that_has_expired_is_told(authority, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.root))

    error = refused(authority.context("IP:127.0.0.1", start="20250101000000Z", end="20250201000000Z"))

    assert "its certificate has expired" in str(error)
    assert "the date of this machine" in error.hint


def test_a_certificate_for_another_host_is_told(authority, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.root))

    error = refused(authority.context("DNS:other.example"))

    assert "its certificate is not valid for 127.0.0.1" in str(error)
    assert "SSL_CERT_FILE" not in error.hint


def test_an_archive_behind_such_a_root_is_told_in_the_same_words(authority):
    async def main():
        async with (
            serving(authority.context("IP:127.0.0.1")) as url,
            Downloader(url, stopper=Stopper(), connections=1, timing=quick()) as downloader,
        ):
            with pytest.raises(TransientError) as caught:
                await downloader.get("/x", most_bytes=1000)
            return str(caught.value), downloader.dead

    said, dead = asyncio.run(main())

    assert "self-signed certificate in certificate chain, issued by" in said
    assert "SSL_CERT_FILE" in said
    assert dead
