"""One stream that comes in and one that goes out: sequence numbers, timestamps, and how they continue.

An Output is what a receiver sees as one endless RTP stream, whatever Source feeds it: when its source changes, offsets
for sequence number and timestamp are chosen so that the next packet follows the last one sent. Two different packets
never leave under one sequence number: besides confusing the receiver that would repeat an AES-GCM nonce.
"""

import secrets
from collections.abc import Mapping
from typing import Any

from video_server.relay.history import SIZE, History
from video_server.relay.nack import Missing
from video_server.relay.sdp import CLOCK_RATE, Codec, Format, Kind

DROP = -1
_MAX_DROPOUT = 3000  # RFC 3550 appendix A.1


class Source:
    """One SSRC a publisher sends. Times are monotonic seconds, `last_timestamp` is in RTP ticks.

    codec            what the payload type means on this m-line
    highest, cycles  the newest sequence number, and how often it wrapped (times 65536)
    kept             whether packets are kept to be sent again: sound does without
    outputs          where its packets go; the room decides, the hot path reads
    arrived_ticks    when a timestamp came for the first time last, in ticks of our own clock; 0.0: none yet
    lately           packets expected and lost between the last two reports about it
    """

    __slots__ = (
        "_awaited", "arrived_ticks", "base", "clock_rate", "codec", "cycles", "expected_before", "highest", "history",
        "jitter_ticks", "kept", "kind", "last_report_at", "last_report_ntp", "last_timestamp", "lately", "missing",
        "octets", "outputs", "owner", "payload_type", "received", "received_before", "screen", "seen_at", "ssrc",
        "started",
    )  # fmt: skip

    def __init__(self, ssrc: int, kind: Kind, codec: Codec, payload_type: int, *, screen: bool, owner: Any) -> None:
        """Know nothing of its numbers until the first packet."""
        self.ssrc, self.kind, self.codec, self.payload_type = ssrc, kind, codec, payload_type
        self.screen = screen
        self.kept = kind == "video"
        self.owner = owner
        self.clock_rate = CLOCK_RATE[kind]
        self.outputs: list[Output] = []
        self.history = History()
        self.missing = Missing()
        self.started = False
        self.highest = self.cycles = self.base = 0
        self.received = self.octets = 0
        self.expected_before = self.received_before = 0
        self.lately = (0, 0)
        self.last_timestamp = 0
        self.jitter_ticks = 0.0
        self.arrived_ticks = 0.0
        self._awaited = -1
        self.last_report_ntp = 0
        self.last_report_at = 0.0
        self.seen_at = 0.0

    def take(self, sequence: int, timestamp: int, *, now: float) -> int:
        """Note a packet; return how many packets before it are missing now, or DROP (negative) if it goes nowhere.

        Dropped are duplicates, which the history knows, and what is too late to tell.
        """
        ahead = (sequence - self.highest) & 0xFFFF
        if ahead == 1 and self.started:
            self.highest = sequence
            if sequence == 0:
                self.cycles += 0x10000
            if timestamp == self.last_timestamp:
                self.received += 1
            else:
                self._count(timestamp, now)
            return 0
        if not self.started:
            self.started = True
            self.highest = self.base = sequence
            self._count(timestamp, now)
            return 0
        if 0 < ahead < _MAX_DROPOUT:
            if sequence < self.highest:
                self.cycles += 0x10000
            self.highest = sequence
            self._count(timestamp, now)
            return ahead - 1
        if 0x10000 - ahead < SIZE or ahead == 0:
            return self._take_late(sequence)
        if sequence != self._awaited:  # one stray packet proves nothing, two in a row do (RFC 3550 appendix A.1)
            self._awaited = (sequence + 1) & 0xFFFF
            return DROP
        self._restart(sequence, now)
        self._count(timestamp, now)
        return 0

    def _take_late(self, sequence: int) -> int:
        self.missing.fill(sequence)
        extended = self.extend(sequence)
        if extended < self.base or self.history.knows(sequence):
            return DROP
        self.received += 1
        return 0

    def _restart(self, sequence: int, now: float) -> None:
        """The publisher began anew: outputs go on from where they stand, with new offsets.

        `cycles` goes up, so that extended numbers from before the restart stay behind all later ones.
        """
        for output in self.outputs:
            output.settle(now=now)
        self.cycles += 0x10000
        self.highest = sequence
        self.base = self.cycles + sequence
        self.received = 0
        self.expected_before = self.received_before = 0
        self._awaited = -1
        self.history.clear()
        self.missing.clear()
        self.arrived_ticks = 0.0

    def _count(self, timestamp: int, now: float) -> None:
        """Count a packet that moves on, and its jitter (RFC 3550 appendix A.8)."""
        self.received += 1
        if timestamp == self.last_timestamp:
            return
        arrived = now * self.clock_rate
        if self.arrived_ticks:
            step = ((timestamp - self.last_timestamp + 0x80000000) & 0xFFFFFFFF) - 0x80000000
            self.jitter_ticks += (abs(arrived - self.arrived_ticks - step) - self.jitter_ticks) / 16
        self.arrived_ticks = arrived
        self.last_timestamp = timestamp

    @property
    def lost(self) -> int:
        """Return how many never came, as of now (RFC 3550 appendix A.3)."""
        return self.cycles + self.highest - self.base + 1 - self.received

    def extend(self, sequence: int) -> int:
        """Return the number with its wraps counted, for one within 32768 of the highest."""
        return self.cycles + self.highest + ((sequence - self.highest + 0x8000) & 0xFFFF) - 0x8000


class Output:
    """One SSRC we send to a receiver: a slot's audio or video.

    session            srtp.Session; set when the link is up
    address, place, socket   where to, for Python and for the kernel, and by which socket; set anew when the link moves
    first              extended number of the first packet of the present source that was forwarded; None: none yet
    payload_types      codec -> format of the receiver's m-line
    lean               the receiver's link is thin: sound goes to it without redundancy
    unwrap_red         only the newest block of each RED packet goes to it, because it has no RED or its link is thin
    report_sent        (middle of the NTP time, when) of the sender report passed on last
    """

    __slots__ = (
        "_free_sequence",
        "_free_timestamp",
        "_freed_at",
        "address",
        "clock_rate",
        "first",
        "kind",
        "lean",
        "link",
        "mid_word",
        "octets",
        "packets",
        "payload_type",
        "payload_types",
        "place",
        "report_sent",
        "rtx_payload_type",
        "rtx_sequence",
        "rtx_ssrc",
        "send_time_head",
        "sequence_offset",
        "session",
        "slot",
        "socket",
        "source",
        "ssrc",
        "timestamp_offset",
        "unwrap_red",
    )  # fmt: skip

    def __init__(
        self,
        kind: Kind,
        slot: int,
        ssrc: int,
        rtx_ssrc: int,
        formats: Mapping[Codec, Format],
        mid_word: int,
        send_time_head: int,
    ) -> None:
        """Begin at a random number below 2^15, so that the first packets cannot be taken for a wrap (RFC 3711)."""
        self.kind, self.slot, self.ssrc, self.rtx_ssrc = kind, slot, ssrc, rtx_ssrc
        self.payload_types = formats
        self.mid_word = mid_word
        self.send_time_head = send_time_head
        self.clock_rate = CLOCK_RATE[kind]
        self.link: Any = None
        self.session: Any = None
        self.address: Any = None
        self.socket: Any = None
        self.place = b""
        self.source: Source | None = None
        self.payload_type = 0
        self.rtx_payload_type: int | None = None
        self.lean = self.unwrap_red = False
        self.sequence_offset = self.timestamp_offset = 0
        self.first: int | None = None
        self.packets = self.octets = 0
        self.report_sent: tuple[int, float] | None = None
        self.rtx_sequence = secrets.randbits(15)
        self._free_sequence = secrets.randbits(15)
        self._free_timestamp = secrets.randbits(32)
        self._freed_at: float | None = None

    def accepts(self, codec: Codec) -> bool:
        """Say whether the receiver can decode it."""
        return codec in self.payload_types or (codec == "red" and "opus" in self.payload_types)

    def attach(self, source: Source) -> None:
        """Take packets from `source` from its next one on. It must be accepted, and nothing attached."""
        assert self.source is None
        self._choose_format(source)
        self.source = source
        self.first = None

    def set_lean(self, *, lean: bool) -> None:
        """Send sound with or without its redundancy from the next packet on."""
        self.lean = lean
        if self.source is not None:
            self._choose_format(self.source)

    def _choose_format(self, source: Source) -> None:
        self.unwrap_red = source.codec == "red" and (self.lean or "red" not in self.payload_types)
        chosen = self.payload_types["opus" if self.unwrap_red else source.codec]
        self.payload_type, self.rtx_payload_type = chosen.payload_type, chosen.rtx_payload_type

    def detach(self, *, now: float) -> None:
        """Take nothing any more; remember where the stream stands."""
        self.settle(now=now)
        self.source = None

    def settle(self, *, now: float) -> None:
        """Remember where the stream stands, before the source changes or begins anew."""
        if self.source is not None and self.first is not None:
            self._free_sequence = (self.source.highest + self.sequence_offset + 1) & 0xFFFF
            self._free_timestamp = (self.source.last_timestamp + self.timestamp_offset) & 0xFFFFFFFF
            self._freed_at = now
        self.first = None

    def begin(self, sequence: int, timestamp: int, extended: int, *, now: float) -> None:
        """Choose the offsets so that this packet of the source follows what was sent before."""
        elapsed = 0 if self._freed_at is None else max(1, int((now - self._freed_at) * self.clock_rate))
        self.sequence_offset = (self._free_sequence - sequence) & 0xFFFF
        self.timestamp_offset = (self._free_timestamp + elapsed - timestamp) & 0xFFFFFFFF
        self.first = extended
