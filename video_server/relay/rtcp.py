"""RTCP as far as the relay speaks it: parse and build (RFC 3550 section 6, RFC 4585, RFC 5104, REMB draft)."""

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

SENDER_REPORT, RECEIVER_REPORT, TRANSPORT_FEEDBACK, PAYLOAD_FEEDBACK = 200, 201, 205, 206
_NACK, _TWCC = 1, 15
_PLI, _FIR, _APPLICATION = 1, 4, 15
_HEADER = struct.Struct("!BBH")
_SENDER_INFO = struct.Struct("!LQLLL")
_BLOCK = struct.Struct("!LLLLLL")
_MAX_BLOCKS = 31


@dataclass(frozen=True, slots=True)
class ReportBlock:
    """How one stream arrives (RFC 3550 section 6.4.1). Jitter in RTP ticks, delay in 1/65536 s."""

    ssrc: int
    fraction_lost: int
    packets_lost: int
    highest_sequence: int
    jitter_ticks: int
    last_sender_report: int
    delay_since_last: int


@dataclass(frozen=True, slots=True)
class SenderReport:
    """`ntp` is the sender's 64-bit NTP time; counts are modulo 2^32."""

    ssrc: int
    ntp: int
    timestamp: int
    packets: int
    octets: int


@dataclass(frozen=True, slots=True)
class ReceiverReport:
    """Blocks about streams we send."""

    ssrc: int
    blocks: tuple[ReportBlock, ...]


@dataclass(frozen=True, slots=True)
class Nack:
    """Packets of `media_ssrc` that did not arrive."""

    media_ssrc: int
    sequences: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class KeyFrameRequest:
    """PLI or FIR: the receiver cannot go on without a key frame."""

    media_ssrc: int


@dataclass(frozen=True, slots=True)
class Remb:
    """What the receiver believes its downlink carries, all streams together."""

    bits_per_second: int


Packet = SenderReport | ReceiverReport | Nack | KeyFrameRequest | Remb


def is_rtcp(second_byte: int) -> bool:
    """Tell RTCP from RTP on one port by the packet type (RFC 5761 section 4)."""
    return 192 <= second_byte <= 223


def parse(data: bytes) -> list[Packet] | None:
    """Return the packets we understand in a compound, others left out; None when it is malformed anywhere."""
    found: list[Packet] = []
    at = 0
    while at < len(data):
        if at + 4 > len(data):
            return None
        first, kind, words = _HEADER.unpack_from(data, at)
        end = at + 4 + 4 * words
        if first >> 6 != 2 or end > len(data):
            return None
        body = data[at + 4 : end]
        if first & 0x20:  # padding
            if not body or not 1 <= body[-1] <= len(body):
                return None
            body = body[: -body[-1]]
        try:
            found.extend(_parse_one(kind, first & 31, body))
        except (struct.error, IndexError):
            return None
        at = end
    return found or None


def _parse_one(kind: int, count: int, body: bytes) -> Iterator[Packet]:
    if kind == SENDER_REPORT:
        ssrc, ntp, timestamp, packets, octets = _SENDER_INFO.unpack_from(body)
        yield SenderReport(ssrc, ntp, timestamp, packets, octets)
        yield ReceiverReport(ssrc, _parse_blocks(body, 24, count))
    elif kind == RECEIVER_REPORT:
        (ssrc,) = struct.unpack_from("!L", body)
        yield ReceiverReport(ssrc, _parse_blocks(body, 4, count))
    elif kind == TRANSPORT_FEEDBACK and count == _NACK:
        (media_ssrc,) = struct.unpack_from("!L", body, 4)
        lost: list[int] = []
        for first, mask in struct.iter_unpack("!HH", body[8:]):
            lost.append(first)
            lost.extend((first + bit + 1) & 0xFFFF for bit in range(16) if mask >> bit & 1)
        yield Nack(media_ssrc, tuple(lost))
    elif kind == PAYLOAD_FEEDBACK and count == _PLI:
        yield KeyFrameRequest(struct.unpack_from("!L", body, 4)[0])
    elif kind == PAYLOAD_FEEDBACK and count == _FIR:
        for ssrc, _sequence in struct.iter_unpack("!LL", body[8:]):
            yield KeyFrameRequest(ssrc)
    elif kind == PAYLOAD_FEEDBACK and count == _APPLICATION and body[8:12] == b"REMB":
        high, low = struct.unpack_from("!BH", body, 13)
        yield Remb(((high & 3) << 16 | low) << (high >> 2))


def _parse_blocks(body: bytes, at: int, count: int) -> tuple[ReportBlock, ...]:
    blocks = []
    for index in range(count):
        ssrc, lost, highest, jitter, last, delay = _BLOCK.unpack_from(body, at + 24 * index)
        total = lost & 0xFFFFFF
        signed = total - (1 << 24) if total >> 23 else total
        blocks.append(ReportBlock(ssrc, lost >> 24, signed, highest, jitter, last, delay))
    return tuple(blocks)


def _pack(kind: int, count: int, body: bytes) -> bytes:
    return _HEADER.pack(0x80 | count, kind, len(body) // 4) + body


def build_receiver_report(ssrc: int, blocks: Sequence[ReportBlock]) -> bytes:
    """Return an RR; more than 31 blocks do not fit and are left out."""
    body = struct.pack("!L", ssrc)
    for block in blocks[:_MAX_BLOCKS]:
        lost = max(-0x800000, min(0x7FFFFF, block.packets_lost)) & 0xFFFFFF
        body += _BLOCK.pack(
            block.ssrc,
            block.fraction_lost << 24 | lost,
            block.highest_sequence & 0xFFFFFFFF,
            block.jitter_ticks & 0xFFFFFFFF,
            block.last_sender_report,
            block.delay_since_last & 0xFFFFFFFF,
        )
    return _pack(RECEIVER_REPORT, min(len(blocks), _MAX_BLOCKS), body)


def build_sender_report(report: SenderReport) -> bytes:
    """Return an SR without blocks."""
    body = _SENDER_INFO.pack(
        report.ssrc, report.ntp, report.timestamp, report.packets & 0xFFFFFFFF, report.octets & 0xFFFFFFFF
    )
    return _pack(SENDER_REPORT, 0, body)


def build_nack(sender_ssrc: int, media_ssrc: int, sequences: Iterable[int]) -> bytes:
    """Return a generic NACK; numbers within 16 of one another share a word (RFC 4585 section 6.2.1).

    sequences   in the order of the stream, so that a run over the wrap stays together
    """
    words: list[list[int]] = []
    for sequence in sequences:
        step = (sequence - words[-1][0] - 1) & 0xFFFF if words else 0xFFFF
        if step < 16:
            words[-1][1] |= 1 << step
        elif not words or sequence != words[-1][0]:
            words.append([sequence, 0])
    body = struct.pack("!LL", sender_ssrc, media_ssrc) + b"".join(struct.pack("!HH", *word) for word in words)
    return _pack(TRANSPORT_FEEDBACK, _NACK, body)


def build_key_frame_request(sender_ssrc: int, media_ssrc: int) -> bytes:
    """Return a PLI (RFC 4585 section 6.3.1)."""
    return _pack(PAYLOAD_FEEDBACK, _PLI, struct.pack("!LL", sender_ssrc, media_ssrc))


def build_remb(sender_ssrc: int, bits_per_second: int, ssrcs: Sequence[int]) -> bytes:
    """Return a REMB (draft-alvestrand-rmcat-remb-03 section 2.2): 18-bit mantissa, 6-bit exponent, rounded down."""
    exponent = max(0, bits_per_second.bit_length() - 18)
    mantissa = bits_per_second >> exponent
    head = struct.pack(
        "!LL4sBBH", sender_ssrc, 0, b"REMB", len(ssrcs), exponent << 2 | mantissa >> 16, mantissa & 0xFFFF
    )
    return _pack(PAYLOAD_FEEDBACK, _APPLICATION, head + b"".join(struct.pack("!L", ssrc) for ssrc in ssrcs))


def build_transport_feedback(sender_ssrc: int, media_ssrc: int, body: bytes) -> bytes:
    """Return a transport-wide feedback message around `body` (twcc.py), zero-padded to whole words."""
    body = struct.pack("!LL", sender_ssrc, media_ssrc) + body
    return _pack(TRANSPORT_FEEDBACK, _TWCC, body + b"\0" * (-len(body) % 4))
