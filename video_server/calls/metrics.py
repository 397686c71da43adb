"""Figures of calls for Prometheus: of the participants whose page has its seat in this process."""

from prometheus_client import Counter, Histogram

from video_server.calls.quality import LinkFigures, PageFigures

_RATIOS = (0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)

ROUND_TRIP = Histogram(
    "call_round_trip_seconds",
    "There and back between a participant and the relay",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2),
)
LOSS = Histogram("call_packet_loss_ratio", "Packets lost, by direction", ["direction"], buckets=_RATIOS)
JITTER = Histogram(
    "call_jitter_seconds",
    "Variation of arrival, by direction",
    ["direction"],
    buckets=(0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5),
)
BITS = Histogram(
    "call_bits_per_second",
    "What a participant sends and is sent",
    ["direction"],
    buckets=(10e3, 30e3, 60e3, 120e3, 250e3, 500e3, 1e6, 2e6, 4e6, 8e6),
)
CONCEALED = Histogram("call_sound_concealed_ratio", "Part of the sound that was made up", buckets=_RATIOS)
FREEZES = Counter("call_freezes_total", "Times a picture stood still")
RUNGS = Counter("call_rung_seconds_total", "Time that participants spent on each rung of the ladder", ["rung"])


def observe_link(figures: LinkFigures, *, seconds: float) -> None:
    """Count what the relay measured in the last `seconds`."""
    if figures.round_trip_ms is not None:
        ROUND_TRIP.observe(figures.round_trip_ms / 1000)
    for direction, way in (("up", figures.up), ("down", figures.down)):
        LOSS.labels(direction).observe(way.loss)
        JITTER.labels(direction).observe(way.jitter_ms / 1000)
        BITS.labels(direction).observe(way.bits_per_second)
    RUNGS.labels(figures.rung).inc(seconds)


def observe_page(figures: PageFigures) -> None:
    """Count what a page said of the last five seconds."""
    CONCEALED.observe(figures.concealed)
    FREEZES.inc(figures.freezes)
