"""Transport-wide congestion control: tell a publisher when each of its packets arrived.

Wire form: draft-holmer-rmcat-transport-wide-cc-extensions-01 section 3.1. The publisher numbers every packet (RTP and
RTX) in a header extension; we answer every 100 ms with "these came, this far apart". Late packets are reported in a
message that goes back to them, as the browser's own receiver does.
"""

import struct

_TICK_SECONDS = 0.00025
_REFERENCE_TICKS = 256  # 64 ms in ticks of 250 microseconds
_MAX_STATUSES = 350  # keeps a message under 1,000 bytes
_MEMORY = 300
"""Numbers whose arrival is remembered, for packets that come late: a second or more, at 150 bytes each."""

_MAX_PENDING = 4096


class ArrivalLog:
    """Arrivals of one publisher's packets, and the feedback about them. Times are monotonic seconds."""

    __slots__ = ("_arrivals", "_feedback_count", "_highest", "_next", "_summed", "arrived", "pending")

    def __init__(self) -> None:
        """Start with nothing seen; the hot path appends each (number, time of arrival) to `pending`."""
        self.pending: list[tuple[int, float]] = []
        self._arrivals: dict[int, float] = {}  # by unwrapped number
        self._highest: int | None = None
        self._next: int | None = None  # first number not yet reported
        self._feedback_count = 0
        self.arrived = 0
        self._summed = (0, 0)  # highest and arrived at the last sum

    def note(self, number: int, at: float) -> None:
        """Note an arrival, as the hot path does inline."""
        self.pending.append((number, at))

    def build(self) -> list[bytes]:
        """Return the bodies of the feedback messages due; empty when nothing arrived since the last call."""
        pending, self.pending = self.pending, []
        if not pending:
            return []
        first_new: int | None = None
        for number, at in pending[-_MAX_PENDING:]:
            if self._highest is None:
                self._highest = number
                self._summed = (number - 1, 0)
            full = self._highest + ((number - self._highest + 0x8000) & 0xFFFF) - 0x8000
            self._highest = max(self._highest, full)
            if full not in self._arrivals:
                self._arrivals[full] = at
                self.arrived += 1
                first_new = full if first_new is None else min(first_new, full)
        if first_new is None or self._highest is None:
            return []
        start = first_new if self._next is None else min(first_new, self._next)
        start = max(start, self._highest - _MEMORY)
        bodies = []
        while start <= self._highest:
            body, start = self._build_one(start, self._highest)
            bodies.append(body)
        self._next = self._highest + 1
        if len(self._arrivals) > _MEMORY + _MEMORY // 4:
            oldest = self._highest - _MEMORY
            self._arrivals = {full: at for full, at in self._arrivals.items() if full >= oldest}
        return bodies

    def sum_up(self) -> tuple[int, int]:
        """Return packets expected and lost since the last call, of all kinds, probes and retransmissions too."""
        highest, arrived = self._summed
        if self._highest is None:
            return 0, 0
        self._summed = (self._highest, self.arrived)
        expected = self._highest - highest
        return expected, max(0, expected - (self.arrived - arrived))

    def _build_one(self, start: int, last: int) -> tuple[bytes, int]:
        """Return one message body from `start` on, and where the next begins."""
        symbols: list[int] = []
        deltas = b""
        reference: int | None = None
        previous = 0
        full = start
        while full <= last and len(symbols) < _MAX_STATUSES:
            at = self._arrivals.get(full)
            if at is None:
                symbols.append(0)
            else:
                ticks = int(at / _TICK_SECONDS)
                if reference is None:
                    reference = ticks // _REFERENCE_TICKS
                    previous = reference * _REFERENCE_TICKS
                delta = ticks - previous
                if not -0x8000 <= delta <= 0x7FFF:
                    break  # too far apart for one message: the next starts with a reference of its own
                if 0 <= delta <= 0xFF:
                    symbols.append(1)
                    deltas += bytes((delta,))
                else:
                    symbols.append(2)
                    deltas += struct.pack("!h", delta)
                previous = ticks
            full += 1
        head = struct.pack(
            "!HHL", start & 0xFFFF, len(symbols), ((reference or 0) & 0xFFFFFF) << 8 | self._feedback_count
        )
        self._feedback_count = (self._feedback_count + 1) & 0xFF
        return head + _pack_chunks(symbols) + deltas, full


def _pack_chunks(symbols: list[int]) -> bytes:
    """Return two-bit status vector chunks, seven symbols each; runs of one symbol as run-length chunks."""
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
