"""Control from another machine: TLS and the secret, or nothing."""

import asyncio
import contextlib
import ssl
from pathlib import Path

import pytest

from tests.ports import find_free_port
from tests.relay.harness import RelayProcess, connect
from video_server.core.clock import utc_now
from video_server.core.errors import CannotStart
from video_server.core.keys import make_certificate
from video_server.relay import remote, server
from video_server.relay.client import RelayClient, RelayLost
from video_server.relay.remote import Listening, Remote

SECRET = "5e" * 32
OTHER = "5f" * 32


@pytest.fixture
def relay(tmp_path):
    port = find_free_port()
    folder = tmp_path / "tls"
    make_certificate(folder, hosts=["127.0.0.1"], now=utc_now())
    relay = RelayProcess(tmp_path, listening=("127.0.0.1", port, SECRET, folder))
    yield relay, Remote("127.0.0.1", port, SECRET, folder / "cert.pem")
    relay.close()


async def try_in_vain(where: Remote, match: str) -> None:
    with pytest.raises(RelayLost, match=match):
        await RelayClient.connect(where, on_event=print, on_lost=print)


async def test_who_shows_the_secret_over_tls_controls_and_nobody_else(relay, tmp_path):
    process, where = relay
    client = await connect(where, [])
    assert (await client.status())["rooms"] == 0
    await try_in_vain(Remote("127.0.0.1", where.port, OTHER, where.trust), "ended|closed|reset|RESET|EOF")
    make_certificate(tmp_path / "other", hosts=["127.0.0.1"], now=utc_now())
    await try_in_vain(Remote("127.0.0.1", where.port, SECRET, tmp_path / "other" / "cert.pem"), "CERTIFICATE_VERIFY")
    await try_in_vain(Remote("localhost", where.port, SECRET, where.trust), "CERTIFICATE_VERIFY")
    assert (await client.status())["rooms"] == 0, "the rightful one is not disturbed"
    await client.close()
    process.stop()
    assert SECRET not in process.log_text()
    assert OTHER not in process.log_text()


async def test_nothing_is_answered_in_the_clear_or_before_the_secret(relay):
    _, where = relay
    await (await connect(where, [])).close()
    reader, writer = await asyncio.open_connection("127.0.0.1", where.port)
    writer.write(remote.render_knock(SECRET) + b'{"id":1,"op":"status"}\n')
    with contextlib.suppress(ConnectionError):  # cut off is as good as closed
        assert b"hello" not in await reader.read(), "TLS or nothing"
    writer.close()
    context = ssl.create_default_context(cafile=where.trust)
    for first in (b'{"id":1,"op":"status"}\n', b"x" * 300, remote.render_knock(SECRET[:-1])):
        reader, writer = await asyncio.open_connection("127.0.0.1", where.port, ssl=context)
        writer.write(first)
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        writer.close()


async def test_older_tls_is_refused(relay):
    _, where = relay
    await (await connect(where, [])).close()
    context = ssl.create_default_context(cafile=where.trust)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await asyncio.open_connection("127.0.0.1", where.port, ssl=context)


async def test_who_connects_and_says_nothing_is_put_out(tmp_path, monkeypatch):
    port = find_free_port()
    monkeypatch.setattr(server, "KNOCK_SECONDS", 0.2)
    make_certificate(tmp_path, hosts=["127.0.0.1"], now=utc_now())
    listening = Listening("127.0.0.1", port, SECRET, tmp_path)
    mute = server._Server(server.RelaySettings(listening), ("127.0.0.1",))
    listener = await server._listen(mute, listening)
    context = ssl.create_default_context(cafile=tmp_path / "cert.pem")
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    with contextlib.suppress(ConnectionError):
        assert await reader.read() == b""
    writer.close()
    listener.close()
    await mute.engine.close()


@pytest.mark.parametrize("secret", ["", "5e" * 31, "5E" * 32, "x" * 64])
def test_a_short_or_malformed_secret_stops_the_start(tmp_path, secret):
    make_certificate(tmp_path, hosts=["127.0.0.1"], now=utc_now())
    with pytest.raises(CannotStart, match="64 hexadecimal"):
        remote.serving_context(Listening("127.0.0.1", 1, secret, tmp_path))


def test_no_certificate_stops_the_start(tmp_path):
    with pytest.raises(CannotStart, match=r"cert\.pem"):
        remote.serving_context(Listening("127.0.0.1", 1, SECRET, tmp_path))


def test_a_key_that_every_account_can_read_stops_the_start(tmp_path):
    make_certificate(tmp_path, hosts=["127.0.0.1"], now=utc_now())
    assert remote.serving_context(Listening("127.0.0.1", 1, SECRET, tmp_path))
    (tmp_path / "key.pem").chmod(0o644)
    with pytest.raises(CannotStart, match="chmod o-rwx"):
        remote.serving_context(Listening("127.0.0.1", 1, SECRET, tmp_path))


@pytest.mark.parametrize(
    ("text", "where"),
    [("relay.example:40443", ("relay.example", 40443)), ("[2001:db8::1]:5", ("2001:db8::1", 5))],
)
def test_host_and_port_are_read(text, where):
    assert remote.parse_where(text) == where


@pytest.mark.parametrize("text", ["relay.example", ":5", "a:0", "a:65536", "a:b", ""])
def test_what_is_no_host_and_port_is_refused(text):
    with pytest.raises(ValueError, match="host:port"):
        remote.parse_where(text)


def test_the_secret_is_in_no_representation():
    assert SECRET not in repr((Remote("h", 1, SECRET), Listening("h", 1, SECRET, Path())))
