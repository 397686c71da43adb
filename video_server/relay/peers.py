"""The media side of one participant: which SSRC is which m-line, what it sends and what it is sent."""

import secrets
from collections.abc import Mapping
from typing import Any

from video_server.relay.batch import pack_place
from video_server.relay.ladder import Ladder, Sight
from video_server.relay.limits import MAX_CREDIT
from video_server.relay.meter import Meter
from video_server.relay.rtp import find_extension, mid_word, send_time_head
from video_server.relay.sdp import ABS_SEND_TIME_URI, MID_URI, TRANSPORT_CC_URI, Format, Line, Offer, Sending
from video_server.relay.streams import Output, Source
from video_server.relay.twcc import ArrivalLog

_MAX_STREAMS = 16
RESENDS_PER_TICK = 256
"""What one receiver may have sent again in a tick, whatever it asks for."""


def assign_sending(offer: Offer) -> dict[str, Sending]:
    """Choose an SSRC pair for every recvonly m-line; the k-th of a kind is slot k."""
    taken: set[int] = set()

    def fresh() -> int:
        while (ssrc := secrets.randbits(32)) in taken or ssrc == 0:
            pass
        taken.add(ssrc)
        return ssrc

    counts = {"audio": 0, "video": 0}
    sending = {}
    for line in offer.lines:
        if line.receives:
            sending[line.mid] = Sending(counts[line.kind], fresh(), fresh())
            counts[line.kind] += 1
    return sending


class Peer:
    """One connection of one participant.

    rx                  srtp.Session for what it sends; None until DTLS is up
    permitted           what it may publish; of anything else there is no source
    transport_cc_byte   first byte of the transport-wide number's extension as it stands in packets; 0: not negotiated
    sources             by SSRC; rtx_sources: retransmission SSRC -> the source it repairs
    outputs             by (slot, kind); outputs_by_ssrc holds the same under both SSRCs
    credit              bytes that it may still send before the next tick
    meter, ladder       how its link does, and where that puts it; sight is what was seen of it last
    """

    def __init__(
        self,
        room: str,
        participant: str,
        offer: Offer,
        sending: Mapping[str, Sending],
        link: Any,
        permitted: frozenset[str],
        *,
        ladder: Ladder,
        now: float,
    ) -> None:
        """Prepare outputs for every slot; nothing flows until the link is up."""
        self.room, self.participant = room, participant
        self.permitted = permitted
        self.offer, self.sending, self.link = offer, sending, link
        self.answers = 1
        self.rx: Any = None
        self.ssrc = secrets.randbits(32)
        self.sources: dict[int, Source] = {}
        self.rtx_sources: dict[int, Source] = {}
        self.by_mid: dict[str, Source] = {}
        self.outputs: dict[tuple[int, str], Output] = {}
        self.outputs_by_ssrc: dict[int, Output] = {}
        self.arrivals = ArrivalLog()
        self.kinds_seen: list[str] = []
        self.resend_budget = RESENDS_PER_TICK
        self.credit = MAX_CREDIT
        self.asked_at: dict[int, float] = {}  # key frames, by media SSRC
        self.asks_pending: set[int] = set()
        self.meter = Meter(now=now)
        self.ladder = ladder
        self.sight = Sight()

        sends = [line for line in offer.lines if not line.receives]
        self._line_by_ssrc = {ssrc: line for line in sends for ssrc in line.ssrcs}
        self._line_by_mid = {line.mid: line for line in sends}
        screens = [line.mid for line in sends if line.kind == "video"][1:]
        self._screen_mid = screens[0] if screens else None
        ids = {line.extensions.get(TRANSPORT_CC_URI, 0) for line in sends}
        number = max(ids, default=0)  # one bundle uses one id for one URI (RFC 9143 section 7.2)
        self.transport_cc_byte = number << 4 | 1 if number else 0
        for line in offer.lines:
            if line.receives and line.formats:
                self._add_output(line, sending[line.mid])

    def _add_output(self, line: Line, sending: Sending) -> None:
        formats = {each.codec: each for each in line.formats}
        word = mid_word(line.extensions.get(MID_URI), line.mid)
        stamp = send_time_head(line.extensions.get(ABS_SEND_TIME_URI))
        output = Output(line.kind, sending.slot, sending.ssrc, sending.rtx_ssrc, formats, word, stamp)
        output.link = self.link
        self.outputs[(sending.slot, line.kind)] = output
        self.outputs_by_ssrc[sending.ssrc] = output
        self.outputs_by_ssrc[sending.rtx_ssrc] = output

    @property
    def up(self) -> bool:
        """Say whether DTLS is done."""
        return self.rx is not None

    def come_up(self) -> None:
        """Take the keys and the address from the link."""
        self.rx = self.link.rx
        for output in self.outputs.values():
            output.session = self.link.tx
        self.move()

    def move(self) -> None:
        """Send everything to where the link goes now."""
        place = pack_place(self.link.address)
        for output in self.outputs.values():
            output.address, output.socket, output.place = self.link.address, self.link.socket, place

    def find_source(self, kind: str, *, screen: bool) -> Source | None:
        """Return the source of the microphone, the camera or the screen, once a packet of it came."""
        return next((s for s in self.by_mid.values() if s.kind == kind and s.screen == screen), None)

    def learn(self, ssrc: int, payload_type: int, block: bytes) -> Source | str:
        """Return the source for an SSRC or payload type not seen before, or why there is none.

        block   the header extensions, which name the m-line of an SSRC that the offer did not announce
        """
        known = self.sources.get(ssrc)
        line = self._find_line(ssrc, payload_type, block)
        if line is None:
            return "unknown_ssrc" if known is None else "wrong_payload_type"
        if not self._permits(line):
            return "not_permitted"
        if known is None and any(each.rtx_payload_type == payload_type for each in line.formats):
            original = self.by_mid.get(line.mid)
            if original is not None and len(self.rtx_sources) < _MAX_STREAMS:
                self.rtx_sources[ssrc] = original
            return "rtx_unknown"  # this first one is lost; it is most likely a probe
        chosen = next((each for each in line.formats if each.payload_type == payload_type), None)
        if chosen is None:
            return "wrong_payload_type"
        if known is not None:
            known.codec, known.payload_type = chosen.codec, chosen.payload_type
            return known
        if len(self.sources) >= _MAX_STREAMS:
            return "unknown_ssrc"
        return self._add_source(ssrc, line, chosen)

    def _permits(self, line: Line) -> bool:
        return ("screen" if line.mid == self._screen_mid else line.kind) in self.permitted

    def permit(self, permitted: frozenset[str]) -> None:
        """Forget the sources of what is permitted no longer: their packets fit nothing and are counted."""
        self.permitted = permitted
        for mid in [mid for mid in self.by_mid if not self._permits(self._line_by_mid[mid])]:
            self._forget(self.by_mid.pop(mid))

    def _forget(self, source: Source) -> None:
        self.sources.pop(source.ssrc, None)
        self.rtx_sources = {rtx: each for rtx, each in self.rtx_sources.items() if each is not source}
        self.asked_at.pop(source.ssrc, None)
        self.asks_pending.discard(source.ssrc)

    def _add_source(self, ssrc: int, line: Line, chosen: Format) -> Source:
        screen = line.mid == self._screen_mid
        source = Source(ssrc, line.kind, chosen.codec, chosen.payload_type, screen=screen, owner=self)
        former = self.by_mid.get(line.mid)
        if former is not None:  # the browser began the track anew under another SSRC
            self._forget(former)
        self.by_mid[line.mid] = source
        self.sources[ssrc] = source
        for rtx, original in line.rtx_of.items():
            if original == ssrc:
                self.rtx_sources[rtx] = source
        return source

    def _find_line(self, ssrc: int, payload_type: int, block: bytes) -> Line | None:
        line = self._line_by_ssrc.get(ssrc)
        if line is not None:
            return line
        for each in self._line_by_mid.values():
            number = each.extensions.get(MID_URI)
            value = find_extension(block, number) if number else None
            if value is not None:
                return self._line_by_mid.get(value.decode("ascii", "replace"))
        fitting = [
            each
            for each in self._line_by_mid.values()
            if any(payload_type in (form.payload_type, form.rtx_payload_type) for form in each.formats)
        ]
        return fitting[0] if len(fitting) == 1 else None

    def rtx_payload_type(self, source: Source) -> int | None:
        """Return the payload type in which this source's retransmissions come."""
        for mid, each in self.by_mid.items():
            if each is source:
                formats = self._line_by_mid[mid].formats
                return next((f.rtx_payload_type for f in formats if f.payload_type == source.payload_type), None)
        return None

    def look(self, *, now: float) -> None:
        """See how its link did since the last look."""
        arrivals = self.arrivals if self.transport_cc_byte else None
        self.sight = self.meter.look(
            self.sources.values(), self.outputs.values(), arrivals, heard_at=self.link.heard_at, now=now
        )

    def picture_share(self, publisher: "Peer") -> int:
        """Return the bits per second that the publisher's pictures may take on the way to this one."""
        videos = [o for o in self.outputs.values() if o.kind == "video" and o.source is not None]
        theirs = sum(o.source.owner is publisher for o in videos if o.source is not None)
        return self.ladder.picture_bits * theirs // max(1, len(videos))

    def set_lean(self, *, lean: bool) -> None:
        """Send it sound with or without its redundancy."""
        for output in self.outputs.values():
            if output.kind == "audio":
                output.set_lean(lean=lean)
