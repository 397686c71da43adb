"""Transport-wide congestion control: tell a publisher when each of its packets arrived.

Wire form: draft-holmer-rmcat-transport-wide-cc-extensions-01 section 3.1. The publisher numbers every packet (RTP and
RTX) in a header extension; we answer every 100 ms with "these came, this far apart". Late packets are reported in a
message that goes back to them, as the browser's own receiver does.
"""

import struct
from array import array

_TICK_SECONDS = 0.00025
_REFERENCE_TICKS = 256  # 64 ms in ticks of 250 microseconds
_MAX_STATUSES = 350  # keeps a message under 1,000 bytes
_SIZE = 512
"""Numbers whose arrival is remembered, for packets that come late: a second or more. A power of two."""

_MEMORY = 300
"""Of these, how far back a message may begin."""

_MASK = _SIZE - 1
_NEVER, _NONE = -(1 << 40), 1 << 40  # below and above any unwrapped number

_MAX_PENDING = 4096

_SILENCE_SECONDS = 0.5
"""Nothing at all for this long: the path was away, which says nothing about what it carries when it is there."""


class ArrivalLog:
    """Arrivals of one publisher's packets, and the feedback about them. Times are monotonic seconds."""

    __slots__ = (
        "_feedback_count",
        "_highest",
        "_last_at",
        "_next",
        "_numbers",
        "_summed",
        "_ticks",
        "_unheard",
        "arrived",
        "pending",
    )

    def __init__(self) -> None:
        """Start with nothing seen; the hot path appends each (number, time of arrival) to `pending`."""
        self.pending: list[tuple[int, float]] = []
        self._numbers = (
            array("q", [_NEVER]) * _SIZE
        )  # the unwrapped number in each place, and the tick at which it came
        self._ticks = array("q", [0]) * _SIZE
        self._highest: int | None = None
        self._next: int | None = None  # first number not yet reported
        self._feedback_count = 0
        self.arrived = 0
        self._last_at = 0.0
        self._unheard = 0  # numbers that went by in silences
        self._summed = (0, 0)  # expected and arrived, all in all, at the last sum

    def note(self, number: int, at: float) -> None:
        """Note an arrival, as the hot path does inline."""
        self.pending.append((number, at))

    def build(self) -> list[bytes]:
        """Return the bodies of the feedback messages due; empty when nothing arrived since the last call."""
        pending, self.pending = self.pending[-_MAX_PENDING:], []
        if not pending:
            return []
        numbers, ticks, highest = self._numbers, self._ticks, self._highest
        if highest is None:
            highest = pending[0][0]
            self._summed = (highest - 1, 0)
        first_new = _NONE
        arrived = 0
        last_at = self._last_at
        for number, at in pending:
            full = highest + ((number - highest + 0x8000) & 0xFFFF) - 0x8000
            place = full & _MASK
            if numbers[place] < full:  # else it came before, or is too old to be told
                numbers[place], ticks[place] = full, int(at / _TICK_SECONDS)
                arrived += 1
                if full < first_new:
                    first_new = full
                if full > highest:
                    if at - last_at >= _SILENCE_SECONDS:
                        self._unheard += full - highest - 1
                    highest = full
            last_at = at
        self._highest, self._last_at = highest, last_at
        self.arrived += arrived
        if first_new == _NONE:
            return []
        start = first_new if self._next is None else min(first_new, self._next)
        start = max(start, highest - _MEMORY)
        bodies = []
        while start <= highest:
            body, start = self._build_one(start, highest)
            bodies.append(body)
        self._next = highest + 1
        return bodies

    def sum_up(self) -> tuple[int, int]:
        """Return packets expected and lost since the last call, of all kinds, probes and retransmissions too.

        What was sent while nothing arrived at all is neither: the path was away.
        """
        if self._highest is None:
            return 0, 0
        former, self._summed = self._summed, (self._highest - self._unheard, self.arrived)
        expected = self._summed[0] - former[0]
        return expected, max(0, expected - (self.arrived - former[1]))

    def _build_one(self, start: int, last: int) -> tuple[bytes, int]:
        """Return one message body from `start` on, and where the next begins."""
        symbols: list[int] = []
        deltas = bytearray()
        reference = previous = -1
        numbers, ticks = self._numbers, self._ticks
        for full in range(start, min(last + 1, start + _MAX_STATUSES)):
            place = full & _MASK
            if numbers[place] != full:
                symbols.append(0)
                continue
            tick = ticks[place]
            if reference < 0:
                reference = tick // _REFERENCE_TICKS
                previous = reference * _REFERENCE_TICKS
            delta = tick - previous
            if 0 <= delta <= 0xFF:
                symbols.append(1)
                deltas.append(delta)
            elif -0x8000 <= delta <= 0x7FFF:
                symbols.append(2)
                deltas += struct.pack("!h", delta)
            else:
                break  # too far apart for one message: the next starts with a reference of its own
            previous = tick
        head = struct.pack(
            "!HHL", start & 0xFFFF, len(symbols), (max(0, reference) & 0xFFFFFF) << 8 | self._feedback_count
        )
        self._feedback_count = (self._feedback_count + 1) & 0xFF
        return head + _pack_chunks(symbols) + deltas, start + len(symbols)


def _pack_chunks(symbols: list[int]) -> bytes:
    """Return two-bit status vector chunks, seven symbols each; runs of one symbol as run-length chunks."""
    if symbols.count(1) == len(symbols) < 0x1FFF:
        return struct.pack("!H", 1 << 13 | len(symbols))
    out = bytearray()
    at = 0
    while at < len(symbols):
        symbol = symbols[at]
        run = 1
        while at + run < len(symbols) and symbols[at + run] == symbol and run < 0x1FFF:
            run += 1
        if run >= 7:
            out += struct.pack("!H", symbol << 13 | run)
            at += run
            continue
        word = 0xC000
        for place, each in enumerate(symbols[at : at + 7]):
            word |= each << (12 - 2 * place)
        out += struct.pack("!H", word)
        at += 7
    return bytes(out)
