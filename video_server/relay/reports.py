"""Sender and receiver reports: what we say about streams that come in, and pass on about those that go out."""

from video_server.relay.rtcp import ReportBlock, SenderReport
from video_server.relay.streams import Output, Source


def report_reception(source: Source, *, now: float) -> ReportBlock:
    """Return the report block for a source since the last one (RFC 3550 section 6.4.1, appendix A.3)."""
    expected = source.cycles + source.highest - source.base + 1
    expected_lately = expected - source.expected_before
    received_lately = source.received - source.received_before
    source.expected_before, source.received_before = expected, source.received
    lost_lately = expected_lately - received_lately
    source.lately = (max(0, expected_lately), max(0, lost_lately))
    fraction = (lost_lately << 8) // expected_lately if expected_lately > 0 and lost_lately > 0 else 0
    delay = int((now - source.last_report_at) * 65536) if source.last_report_at else 0
    return ReportBlock(
        ssrc=source.ssrc,
        fraction_lost=min(255, fraction),
        packets_lost=source.lost,
        highest_sequence=(source.cycles + source.highest) & 0xFFFFFFFF,
        jitter_ticks=int(source.jitter_ticks),
        last_sender_report=source.last_report_ntp,
        delay_since_last=delay,
    )


def note_sender_report(source: Source, report: SenderReport, *, now: float) -> None:
    """Keep what our next receiver report must echo: the middle 32 bits of the NTP time, and when it came."""
    source.last_report_ntp = report.ntp >> 16 & 0xFFFFFFFF
    source.last_report_at = now


def shift_sender_report(report: SenderReport, output: Output, *, now: float) -> SenderReport:
    """Return the publisher's report as this output's own: its clock, our numbers. Lip sync hangs on it.

    The receiver's next report names it, and so tells the round trip.
    """
    output.report_sent = (report.ntp >> 16 & 0xFFFFFFFF, now)
    timestamp = (report.timestamp + output.timestamp_offset) & 0xFFFFFFFF
    return SenderReport(output.ssrc, report.ntp, timestamp, output.packets, output.octets)
