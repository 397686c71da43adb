"""RTCP in both directions: what receivers ask for and publishers are told. Decisions take `now`, monotonic seconds."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import islice

from video_server.relay.counters import Counters
from video_server.relay.ladder import ALL_BITS, Rung
from video_server.relay.limits import REPORT_SECONDS, refill
from video_server.relay.peers import RESENDS_PER_TICK, Peer
from video_server.relay.reports import note_sender_report, report_reception, shift_sender_report
from video_server.relay.rtcp import (
    KeyFrameRequest,
    Nack,
    ReceiverReport,
    Remb,
    ReportBlock,
    SenderReport,
    build_key_frame_request,
    build_nack,
    build_receiver_report,
    build_remb,
    build_sender_report,
    build_transport_feedback,
    parse,
)
from video_server.relay.streams import Output, Source

KEY_FRAME_SECONDS = 0.3
"""A publisher is asked for a key frame at most this often; a request in between is kept, not lost."""

TICK_SECONDS = 0.005
_TURNS = 10
"""Each tick looks at every tenth peer: all at once would hold packets up by a millisecond every 50."""

_ROUNDS_PER_FEEDBACK = 2
_ROUNDS_PER_REPORT = 20

SOUND_BITS = 80_000
"""What a publisher is allowed for its sound beside the picture; with redundancy it takes about so much."""


class Feedback:
    """Speaks RTCP with every peer.

    send_rtcp   encrypts and sends one RTCP packet to a peer
    resend      sends the packet that went out as (output, sequence) once more
    on_look     called once a second for each peer whose link is up
    """

    def __init__(
        self,
        counters: Counters,
        send_rtcp: Callable[[Peer, bytes], None],
        resend: Callable[[Output, int], bool],
        on_look: Callable[[Peer, float], None],
    ) -> None:
        """Begin at tick zero."""
        self._counters = counters
        self._send = send_rtcp
        self._resend = resend
        self._on_look = on_look
        self._tick = 0

    def receive(self, peer: Peer, data: bytes, *, now: float) -> None:
        """Handle a decrypted RTCP packet of a peer."""
        packets = parse(data)
        if packets is None:
            self._counters.dropped["rtcp_malformed"] += 1
            return
        for packet in packets:
            if isinstance(packet, Nack):
                self._answer_nack(peer, packet)
            elif isinstance(packet, KeyFrameRequest):
                output = peer.outputs_by_ssrc.get(packet.media_ssrc)
                if output is not None and output.source is not None:
                    self.ask_key_frame(output.source, now=now)
            elif isinstance(packet, SenderReport):
                source = peer.sources.get(packet.ssrc)
                if source is not None:
                    self._pass_report(source, packet, now=now)
            elif isinstance(packet, Remb):
                self._counters.remb_received += 1
                peer.meter.note_estimate(packet.bits_per_second, now=now)
            elif isinstance(packet, ReceiverReport):
                for block in packet.blocks:
                    output = peer.outputs_by_ssrc.get(block.ssrc)
                    if output is not None and output.ssrc == block.ssrc:
                        peer.meter.note_block(output, block, now=now)

    def _answer_nack(self, peer: Peer, nack: Nack) -> None:
        output = peer.outputs_by_ssrc.get(nack.media_ssrc)
        if output is None:
            return
        self._counters.nacks_received += len(nack.sequences)
        allowed = nack.sequences[: max(0, peer.resend_budget)]
        if len(allowed) < len(nack.sequences):
            self._counters.dropped["resend_limited"] += len(nack.sequences) - len(allowed)
        peer.resend_budget -= len(allowed)
        for sequence in allowed:
            self._resend(output, sequence)

    def _pass_report(self, source: Source, report: SenderReport, *, now: float) -> None:
        if source.last_report_at and now - source.last_report_at < REPORT_SECONDS:
            return
        note_sender_report(source, report, now=now)
        for output in source.outputs:
            if output.first is not None:
                self._send(output.link.media, build_sender_report(shift_sender_report(report, output, now=now)))

    def ask_key_frame(self, source: Source, *, now: float) -> None:
        """Ask the publisher for a key frame, now or as soon as the last request is old enough."""
        peer: Peer = source.owner
        if now - peer.asked_at.get(source.ssrc, -1.0) < KEY_FRAME_SECONDS:
            peer.asks_pending.add(source.ssrc)
            return
        peer.asks_pending.discard(source.ssrc)
        peer.asked_at[source.ssrc] = now
        self._counters.key_frames_asked += 1
        self._send(peer, build_key_frame_request(peer.ssrc, source.ssrc))

    def note_gap(self, source: Source, first: int, count: int, *, now: float) -> None:
        """Ask for missing video packets; where they are too many, for a key frame. Audio does without."""
        if source.kind != "video":
            return
        lost = source.missing.open_gap(first, count, now=now)
        if lost:
            self._nack(source, lost)
        else:
            self.ask_key_frame(source, now=now)

    def _nack(self, source: Source, sequences: list[int]) -> None:
        self._counters.nacks_sent += len(sequences)
        self._send(source.owner, build_nack(source.owner.ssrc, source.ssrc, sequences))

    def tick(self, peers: Iterable[Peer], *, now: float) -> None:
        """Do what is due; to be called every TICK_SECONDS. Peers take turns, so that no tick is long."""
        self._tick += 1
        round_number, turn = divmod(self._tick, _TURNS)
        for place, peer in enumerate(islice(peers, turn, None, _TURNS), round_number):
            if not peer.up:
                continue
            peer.resend_budget = RESENDS_PER_TICK
            peer.credit = refill(peer.credit, _TURNS * TICK_SECONDS)
            for source in peer.sources.values():
                if len(source.missing):
                    again = source.missing.due(now=now)
                    if again:
                        self._nack(source, again)
                if source.ssrc in peer.asks_pending:
                    self.ask_key_frame(source, now=now)
                if source.kept and source.started and place % _ROUNDS_PER_FEEDBACK == 0:
                    source.history.age(source.highest)
            if place % _ROUNDS_PER_FEEDBACK == 0:
                self._report_arrivals(peer)
            if place % _ROUNDS_PER_REPORT == 0:
                self._report(peer, now=now)
                self._on_look(peer, now)

    def _report_arrivals(self, peer: Peer) -> None:
        media_ssrc = next(iter(peer.sources), 0)
        for body in peer.arrivals.build():
            self._counters.twcc_sent += 1
            self._send(peer, build_transport_feedback(peer.ssrc, media_ssrc, body))

    def _report(self, peer: Peer, *, now: float) -> None:
        started = [source for source in peer.sources.values() if source.started]
        if not started:
            return
        blocks = [tell_weakest(report_reception(source, now=now), source) for source in started]
        packet = build_receiver_report(peer.ssrc, blocks)
        packet += build_remb(peer.ssrc, find_cap(peer), [source.ssrc for source in started if source.kind == "video"])
        self._send(peer, packet)


def find_cap(peer: Peer) -> int:
    """Return the bits per second that this publisher may send: what its weakest receiver can take of its pictures.

    On a link that carries only sound its own pictures go to nobody. Its page is told to stop its camera; this reaches
    the browser also where web's line does not get through.
    """
    if peer.ladder.rung.depth >= Rung.SOUND_ONLY.depth:
        return SOUND_BITS
    receivers = {
        output.link.media
        for source in peer.sources.values()
        if source.kind == "video"
        for output in source.outputs
        if output.link.media is not None
    }
    return min((receiver.picture_share(peer) for receiver in receivers), default=ALL_BITS) + SOUND_BITS


def tell_weakest(block: ReportBlock, source: Source) -> ReportBlock:
    """Return the report on a sound with the loss of its weakest receiver, where that gets it without redundancy.

    Then the publisher's encoder puts its own redundancy into the sound (opus in-band FEC), which passes a thin link.
    """
    thin = [output.link.media for output in source.outputs if output.unwrap_red]
    worst = max((receiver.sight.down_loss or 0.0 for receiver in thin if receiver is not None), default=0.0)
    return replace(block, fraction_lost=max(block.fraction_lost, min(255, int(256 * worst))))
