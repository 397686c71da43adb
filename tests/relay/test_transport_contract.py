"""Each private name of aiortc, aioice and pylibsrtp that the relay leans on is there and is what it was."""

import asyncio
import importlib.metadata
import inspect

import aioice.ice
import aioice.stun
import pylibsrtp
import pytest
from aiortc import RTCCertificate, RTCDtlsTransport, RTCIceGatherer, RTCIceTransport
from aiortc.rtcdtlstransport import SRTP_PROFILES
from OpenSSL.SSL import SESS_CACHE_OFF
from pylibsrtp import _binding

from video_server.relay import srtp, transport
from video_server.relay.streams import Source  # noqa: F401 — the relay imports as a whole


@pytest.mark.parametrize(("package", "version"), [("aiortc", "1.16.0"), ("aioice", "0.13.0"), ("pylibsrtp", "1.0.0")])
def test_versions_are_the_pinned_ones(package, version):
    assert importlib.metadata.version(package) == version


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("_nominated", dict),
        ("_check_list", list),
        ("_protocols", list),
        ("_local_candidates", list),
        ("_local_candidates_start", bool),
        ("_local_candidates_end", bool),
        ("_remote_candidates", list),
        ("_remote_candidates_end", bool),
        ("_local_username", str),
        ("_local_password", str),
        ("_queue", asyncio.Queue),
    ],
)
async def test_an_ice_connection_has(name, kind):
    connection = RTCIceGatherer(iceServers=[])._connection
    assert isinstance(getattr(connection, name), kind)


async def test_username_and_password_are_read_from_the_private_names():
    connection = RTCIceGatherer(iceServers=[], local_username="abcd", local_password="p" * 22)._connection
    assert (connection.local_username, connection.local_password) == ("abcd", "p" * 22)
    connection._local_username, connection._local_password = "efgh", "q" * 22
    assert (connection.local_username, connection.local_password) == ("efgh", "q" * 22)


async def test_check_complete_is_called_through_the_instance():
    source = inspect.getsource(aioice.ice.Connection)
    assert source.count("self.check_complete(pair)") >= 4
    assert list(inspect.signature(aioice.ice.Connection.check_complete).parameters) == ["self", "pair"]
    assert list(inspect.signature(aioice.ice.Connection.build_request).parameters) == ["self", "pair", "nominate"]


async def test_consent_is_asked_for_through_the_instance_by_a_coroutine_that_may_end_at_once():
    source = inspect.getsource(aioice.ice.Connection)
    assert source.count("asyncio.create_task(self.query_consent())") == 1
    assert "not self._query_consent_task.done()" in inspect.getsource(aioice.ice.Connection.close)


async def test_a_stun_protocol_takes_any_transport_with_sendto_and_close():
    protocol = aioice.ice.StunProtocol(RTCIceGatherer(iceServers=[])._connection)
    for name in ("connection_made", "connection_lost", "datagram_received", "send_stun"):
        assert callable(getattr(protocol, name))


async def test_dtls_has_srtp_sessions_role_and_ssl():
    dtls = RTCDtlsTransport(RTCIceTransport(RTCIceGatherer(iceServers=[])), [RTCCertificate.generateCertificate()])
    assert dtls._rx_srtp is dtls._tx_srtp is dtls._ssl is None
    assert dtls._role == "auto"
    dtls._set_role("server")
    assert dtls._role == "server"


async def test_a_context_of_openssl_is_made_by_the_certificate_from_the_profiles_alone():
    certificate = RTCCertificate.generateCertificate()
    assert list(inspect.signature(certificate._create_ssl_context).parameters) == ["srtp_profiles"]
    dtls = RTCDtlsTransport(RTCIceTransport(RTCIceGatherer(iceServers=[])), [certificate])
    assert dtls._srtp_profiles == SRTP_PROFILES
    assert "_create_ssl_context(\n                srtp_profiles=self._srtp_profiles" in inspect.getsource(
        type(dtls).start
    )
    assert transport.Certificate().rtc._create_ssl_context(SRTP_PROFILES).get_session_cache_mode() == SESS_CACHE_OFF


def test_a_session_gives_its_c_pointer_and_the_c_functions_work_in_place():
    key = bytes(range(44))
    profile = pylibsrtp.Policy.SRTP_PROFILE_AEAD_AES_256_GCM
    out = pylibsrtp.Session(pylibsrtp.Policy(key, pylibsrtp.Policy.SSRC_ANY_OUTBOUND, srtp_profile=profile))
    back = pylibsrtp.Session(pylibsrtp.Policy(key, pylibsrtp.Policy.SSRC_ANY_INBOUND, srtp_profile=profile))
    buffer, length = srtp.PacketBuffer(), srtp.new_length()
    packet = bytes.fromhex("806000010000000200000003") + b"payload"
    buffer.view[: len(packet)] = packet
    length[0] = len(packet)
    assert srtp.SRTP.protect(srtp.Session(out).pointer, buffer.pointer, length) == 0
    assert length[0] == len(packet) + 16
    protected = bytes(buffer.view[: length[0]])
    assert b"payload" not in protected
    assert srtp.SRTP.unprotect(srtp.Session(back).pointer, buffer.pointer, length) == 0
    assert bytes(buffer.view[: length[0]]) == packet
    buffer.view[: len(protected)] = protected
    length[0] = len(protected)
    assert srtp.SRTP.unprotect(srtp.Session(back).pointer, buffer.pointer, length) in srtp.REPLAY_ERRORS


def test_replay_errors_are_the_numbers_that_say_replay():
    assert {n for n, text in enumerate(pylibsrtp.ERRORS) if "replay" in text} == srtp.REPLAY_ERRORS


def test_the_c_library_is_reached_by_its_private_door():
    assert callable(_binding.ffi.memmove)
    assert callable(_binding.lib.srtp_protect)
    assert callable(_binding.lib.srtp_unprotect)


def test_own_addresses_end_with_loopback():
    addresses = transport.find_own_addresses()
    assert addresses[-1] == "127.0.0.1"
    assert addresses.count("127.0.0.1") == 1
