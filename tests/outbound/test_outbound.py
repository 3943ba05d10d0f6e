"""What is asked of strangers, and what is taken from them (A15): real sockets on loopback, with and without TLS."""

from __future__ import annotations

import asyncio
import ssl
import time
from pathlib import Path

import pytest
from strangers import certificate, resolving, says, stranger

from identity.outbound.client import Outbound
from identity.outbound.errors import AddressRefused, AnswerRefused, NotReached, OutboundError
from identity.outbound.reach import Reach, read_networks

HERE = Reach(loopback=True)
INSIDE = Reach(read_networks(["127.0.0.0/8"]))
"""As an operator would open a private network: https only."""


def trusting(file: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(file)
    return server, ssl.create_default_context(cafile=str(file))


async def test_json_is_read_and_forms_are_sent() -> None:
    """A15: what is asked for, and by what name."""
    async with stranger(says(b'{"keys": []}')) as found:
        assert await Outbound(HERE).get_json(found.url(), 100, 5) == {"keys": []}
        assert await Outbound(HERE).post_form(found.url(), {"logout_token": "a+b&c"}, 5) == 200
    get, post = found.requests
    assert get.startswith(b"GET /where?what=1 HTTP/1.1\r\n")
    assert f"Host: 127.0.0.1:{found.port}".lower().encode() in get.lower()
    assert post.endswith(b"\r\n\r\nlogout_token=a%2Bb%26c")
    assert b"application/x-www-form-urlencoded" in post


async def test_the_name_is_resolved_once(tmp_path: Path) -> None:
    """A15, DNS rebinding: the resolver's second answer would lead inside, and nobody asks for it; TLS is for the name."""
    server, client = trusting(certificate(tmp_path, "client.example"))
    async with stranger(says(b"[]"), server) as found:
        outbound = Outbound(INSIDE, resolving(["127.0.0.1"], ["10.0.0.1"]), client)
        assert await outbound.get_json(found.url("client.example", "https"), 100, 5) == []
        with pytest.raises(AddressRefused):
            await outbound.get_json(found.url("client.example", "https"), 100, 5)
    assert found.names == ["client.example"]
    assert f"\r\nhost: client.example:{found.port}\r\n".encode() in found.requests[0].lower()


async def test_tls_is_verified_for_the_name(tmp_path: Path) -> None:
    """A15: the certificate of another name behind the same address is no good, and of nobody we trust neither."""
    server, client = trusting(certificate(tmp_path, "other.example"))
    async with stranger(says(b"[]"), server) as found:
        for context in (client, None):
            with pytest.raises(NotReached):
                await Outbound(INSIDE, resolving(["127.0.0.1"]), context).get_json(
                    found.url("client.example", "https"), 100, 5
                )
        assert await Outbound(INSIDE, resolving(["127.0.0.1"]), client).get_json(
            found.url("other.example", "https"), 100, 5
        ) == []  # fmt: skip
    assert len(found.requests) == 1


async def test_no_connection_is_kept_for_another_name(tmp_path: Path) -> None:
    """A15: it would have been made with the certificate of the first one."""
    server, client = trusting(certificate(tmp_path, "one.example"))
    async with stranger(says(b"[]"), server) as found:
        outbound = Outbound(INSIDE, resolving(["127.0.0.1"]), client)
        await outbound.get_json(found.url("one.example", "https"), 100, 5)
        with pytest.raises(NotReached):
            await outbound.get_json(found.url("two.example", "https"), 100, 5)
    assert len(found.requests) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_not_followed(status: int) -> None:
    """A15: the door that was looked at does not send us to another one."""
    async with stranger(says(b"[]")) as inner:
        async with stranger(says(b"", status, f"Location: {inner.url()}")) as found:
            with pytest.raises(AnswerRefused) as refusal:
                await Outbound(HERE).get_json(found.url(), 100, 5)
            assert refusal.value.status == status
            assert await Outbound(HERE).post_form(found.url(), {}, 5) == status
        assert inner.connections == 0


async def test_the_environment_is_not_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A15: a proxy would look the name up again; passwords of a .netrc are not the stranger's."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login us password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with stranger(says(b"[]")) as found:
        assert await Outbound(HERE).get_json(found.url(), 100, 5) == []
    assert b"authorization" not in found.requests[0].lower()


@pytest.mark.parametrize(
    ("answering", "why"),
    [
        (says(b"[" + b" " * 100 + b"]"), "too large"),
        (says(b"[]", 200, "Content-Encoding: gzip"), "encoding"),
        (says(b"[]", 404), "status 404"),
        (says(b"", 204), "status 204"),
        (says(b"hello"), "not JSON"),
        (says(b'{"a":1,"a":2}'), "not JSON"),
        (says(b"[NaN]"), "not JSON"),
        (says(b"\xff"), "not JSON"),
        (says(b"[" * 100), "not JSON"),
    ],
)
async def test_what_is_no_answer_is_refused(answering, why: str) -> None:  # type: ignore[no-untyped-def]
    """A15: and the error has nothing that the stranger wrote."""
    async with stranger(answering) as found:
        with pytest.raises(AnswerRefused, match=why):
            await Outbound(HERE).get_json(found.url(), 100, 5)


async def test_deep_json_is_refused() -> None:
    """A15: not a recursion error, which would be one of ours."""
    async with stranger(says(b"[" * 200_000)) as found:
        with pytest.raises(AnswerRefused, match="not JSON"):
            await Outbound(HERE).get_json(found.url(), 1_000_000, 5)


async def test_a_body_without_end_is_left() -> None:
    """A15: at the cap, not when memory is full."""
    sent = 0

    async def endless(writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"1000\r\n" + b" " * 0x1000 + b"\r\n")
            await writer.drain()
            sent += 0x1000

    async with stranger(endless) as found:
        with pytest.raises(AnswerRefused, match="too large"):
            await Outbound(HERE).get_json(found.url(), 50_000, 10)
        assert await Outbound(HERE).post_form(found.url(), {}, 10) == 200
    assert sent < 64_000_000


async def trickle(writer: asyncio.StreamWriter) -> None:
    for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[" + b" " * 98 + b"]":
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0.02)


async def silence(_writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(60)


@pytest.mark.parametrize("answering", [trickle, silence])
async def test_slow_answers_have_one_time_for_everything(answering) -> None:  # type: ignore[no-untyped-def]
    """A15: a byte now and then does not begin it anew."""
    async with stranger(answering) as found:
        began = time.monotonic()
        with pytest.raises(NotReached, match="in time"):
            await Outbound(HERE).get_json(found.url(), 1000, 0.3)
        with pytest.raises(NotReached, match="in time"):
            await Outbound(HERE).post_form(found.url(), {}, 0.3)
        assert time.monotonic() - began < 3


async def test_a_resolver_that_hangs_has_the_same_time() -> None:
    """A15"""

    async def hang(_host: str, _port: int) -> list[str]:
        await asyncio.sleep(60)
        return []

    with pytest.raises(NotReached, match="in time"):
        await Outbound(HERE, hang).get_json("https://client.example/", 100, 0.2)


async def test_the_next_address_is_tried_when_nobody_is_at_the_first() -> None:
    """Of a name with several addresses one may be down."""
    async with stranger(says(b"[]"), host="127.0.0.2") as found:
        url = found.url("client.example")
        outbound = Outbound(HERE, resolving(["127.0.0.1", "127.0.0.2"]))
        assert await outbound.get_json(url, 100, 5) == []
        with pytest.raises(NotReached):
            await Outbound(HERE, resolving(["127.0.0.1", "127.0.0.3"])).get_json(url, 100, 5)


async def test_errors_say_nothing_of_what_the_other_side_wrote() -> None:
    """A15, A64: a stranger does not write into our log."""

    async def rude(writer: asyncio.StreamWriter) -> None:
        writer.write(b"SECRET nonsense\r\n\r\n")

    for answering in (rude, says(b"SECRET", 418), says(b"SECRET")):
        async with stranger(answering) as found:
            with pytest.raises(OutboundError) as refusal:
                await Outbound(HERE).get_json(found.url(), 100, 5)
            assert "SECRET" not in str(refusal.value)
            assert refusal.value.__suppress_context__ or refusal.value.__cause__ is None
