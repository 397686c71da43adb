"""Figures of each relay for Prometheus, as this process read them within the last second or so."""

from collections.abc import Iterable, Iterator, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from video_server.calls.relay_link import RelayLink

_GAUGES = {
    "rooms": "Rooms on a relay",
    "participants": "People on a relay",
    "packets_per_second": "Media packets a second, in and out",
    "draining": "1 while a relay takes no new rooms",
}


class RelayCollector:
    """A collector for a Prometheus registry; every series bears the relay's name."""

    def __init__(self, links: Sequence[RelayLink]) -> None:
        self._links = links

    def collect(self) -> Iterator[Metric]:
        """Give the figures; of a relay that does not answer only that it does not."""
        there = GaugeMetricFamily("relay_up", "1 while a relay answers", labels=["relay"])
        for link in self._links:
            there.add_metric([link.name], float(link.client is not None))
        yield there
        living = [link for link in self._links if link.client is not None]
        for name, said in _GAUGES.items():
            gauge = GaugeMetricFamily(f"relay_{name}", said, labels=["relay"])
            for link in living:
                gauge.add_metric([link.name], float(link.status[name]))
            yield gauge
        stall = GaugeMetricFamily(
            "relay_loop_stall_seconds", "Longest time a relay's loop was held up in the last minute", labels=["relay"]
        )
        for link in living:
            stall.add_metric([link.name], link.status["loop_stall_max_ms"] / 1000)
        yield stall
        stalls = CounterMetricFamily(
            "relay_loop_stalls", "How often it was held up for more than so long", labels=["relay", "over_ms"]
        )
        for link in living:
            for over_ms, count in link.status["loop_stalls"].items():
                stalls.add_metric([link.name, over_ms], count)
        yield stalls
        yield from _collect_counters(living)


def _collect_counters(living: Iterable[RelayLink]) -> Iterator[Metric]:
    dropped = CounterMetricFamily("relay_dropped", "Datagrams a relay did not pass on", labels=["relay", "reason"])
    counted = CounterMetricFamily("relay_packets", "What a relay did with packets", labels=["relay", "what"])
    for link in living:
        counters = dict(link.status["counters"])
        for reason, count in counters.pop("dropped").items():
            dropped.add_metric([link.name, reason], count)
        for what, count in counters.items():
            counted.add_metric([link.name, what], count)
    yield dropped
    yield counted
