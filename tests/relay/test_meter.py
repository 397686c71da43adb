"""Figures of a link from counters, reports and estimates; each figure against packets that were counted by hand."""

from types import SimpleNamespace

import pytest

from video_server.relay.feedback import SOUND_BITS, find_cap
from video_server.relay.ladder import ALL_BITS, Ladder, Rung
from video_server.relay.meter import Meter
from video_server.relay.peers import Peer
from video_server.relay.reports import shift_sender_report
from video_server.relay.rtcp import ReportBlock, SenderReport
from video_server.relay.sdp import Format
from video_server.relay.streams import Output, Source
from video_server.relay.twcc import ArrivalLog


def make_source(ssrc=1, kind="video", owner=None):
    codec = "vp8" if kind == "video" else "opus"
    return Source(ssrc, kind, codec, 96, screen=False, owner=owner)


def make_output(source, ssrc=1000):
    output = Output(source.kind, 0, ssrc, ssrc + 1, {source.codec: Format(source.codec, 96, 97, "")}, 0, 0)
    output.attach(source)
    source.outputs = [*source.outputs, output]
    return output


def block(output, highest, lost, *, jitter=0, report=0, delay=0.0):
    return ReportBlock(output.ssrc, 0, lost, highest, jitter, report, int(delay * 65536))


def look(meter, *, sources=(), outputs=(), arrivals=None, now, heard_at=None):
    return meter.look(sources, outputs, arrivals, heard_at=now if heard_at is None else heard_at, now=now)


def test_rates_are_what_passed_since_the_last_look():
    meter = Meter(now=10.0)
    voice, camera = make_source(1, "audio"), make_source(2)
    heard, seen = make_output(voice), make_output(camera, 1002)
    voice.octets, camera.octets, heard.octets, seen.octets = 5_000, 100_000, 4_000, 90_000
    look(meter, sources=[voice, camera], outputs=[heard, seen], now=11.0)
    heard.octets, seen.octets = 5_000, 140_000
    sight = look(meter, sources=[voice], outputs=[heard, seen], now=13.0)
    assert (sight.sound, sight.picture, sight.pictures) == (4_000, 200_000, 1)
    data = meter.sum_up([voice], Rung.FULL, now=15.0)
    assert data["up"]["bits_per_second"] == 8 * 105_000 / 5
    assert data["down"]["bits_per_second"] == 8 * 145_000 / 5


def test_loss_on_the_way_down_is_what_reports_say_less_what_never_came_here():
    meter = Meter(now=0.0)
    source = make_source()
    output = make_output(source)
    for sequence in range(100):
        source.take(sequence, 0, now=1.0)
    meter.note_block(output, block(output, 99, 0), now=1.0)
    assert look(meter, outputs=[output], now=1.0).down_loss is None, "one report alone tells nothing"
    for sequence in range(100, 200):
        if sequence % 10:  # ten are lost on the publisher's own link
            source.take(sequence, 0, now=2.0)
    meter.note_block(output, block(output, 199, 30), now=2.0)
    assert look(meter, outputs=[output], now=2.0).down_loss == pytest.approx(0.2)
    assert meter.sum_up([], Rung.FULL, now=5.0)["down"]["loss"] == pytest.approx(0.2)
    assert look(meter, outputs=[output], now=30.0).down_loss is None, "an old report tells nothing"


def second_of_numbers(log, first, *, at):
    for n in range(50):
        log.note((first + n) & 0xFFFF, at + n / 50)
    log.build()


@pytest.mark.parametrize("away", [0.6, 2.5, 9.0])
def test_what_a_path_lost_while_it_was_away_says_nothing_about_what_it_carries(away):
    meter, log, ladder, first = Meter(now=0.0), ArrivalLog(), Ladder(), 65_500
    for second in range(5):
        second_of_numbers(log, first + 50 * second, at=float(second))
    assert look(meter, arrivals=log, now=5.0).up_loss == 0.0
    first += 50 * 5 + int(50 * away)  # what was sent into nothing has numbers too
    for second in range(1, 8):
        second_of_numbers(log, first + 50 * second - 50, at=4.0 + away + second)
        ladder = ladder.step(sight := look(meter, arrivals=log, now=5.0 + away + second), now=5.0 + away + second)
        assert (sight.up_loss, ladder.rung) == (0.0, Rung.FULL)


def test_losses_that_leave_no_silence_are_counted():
    meter, log = Meter(now=0.0), ArrivalLog()
    for n in range(0, 250, 20):  # nineteen of twenty are lost: one arrives every 0.4 s
        log.note(n, n / 50)
    log.build()
    assert look(meter, arrivals=log, now=5.0).up_loss == pytest.approx(0.95, abs=0.01)


def test_what_reports_call_lost_while_the_path_was_away_does_not_count():
    meter, source = Meter(now=0.0), make_source()
    output = make_output(source)
    for sequence in range(1000):
        source.take(sequence, 0, now=1.0)
    meter.note_block(output, block(output, 99, 0), now=1.0)
    look(meter, outputs=[output], now=2.0)
    look(meter, outputs=[output], now=4.0, heard_at=2.1)
    meter.note_block(output, block(output, 299, 150), now=4.5)
    assert look(meter, outputs=[output], now=5.0).down_loss is None
    meter.note_block(output, block(output, 399, 160), now=5.5)
    assert look(meter, outputs=[output], now=6.0).down_loss == pytest.approx(0.1), "it is heard again, and loses"


def test_a_change_of_source_or_a_new_beginning_is_no_loss():
    meter = Meter(now=0.0)
    first, second = make_source(1), make_source(2)
    output = make_output(first)
    first.take(0, 0, now=1.0)
    first.take(500, 0, now=1.0)
    meter.note_block(output, block(output, 500, 0), now=1.0)
    output.detach(now=1.0)
    output.attach(second)
    second.take(9, 0, now=1.0)
    meter.note_block(output, block(output, 1000, 400), now=2.0)
    second.take(30_000, 0, now=2.0)
    second.take(30_001, 0, now=2.0)  # the publisher begins anew
    meter.note_block(output, block(output, 1500, 800), now=3.0)
    assert look(meter, outputs=[output], now=3.0).down_loss is None


def test_loss_on_the_way_up_is_counted_by_the_transport_wide_number():
    meter, log = Meter(now=0.0), ArrivalLog()
    for number in range(65_500, 65_700):
        if number % 4:
            log.note(number & 0xFFFF, 1.0)
    log.build()
    assert look(meter, arrivals=log, now=1.0).up_loss == pytest.approx(0.25, abs=0.01)
    for number in range(65_700, 66_000):
        log.note(number & 0xFFFF, 2.0)
    log.build()
    look(meter, arrivals=log, now=2.0)
    assert meter.sum_up([], Rung.FULL, now=5.0)["up"]["loss"] == pytest.approx(0.1, abs=0.005)


def test_in_a_quiet_room_one_packet_lost_tells_nothing():
    meter, log = Meter(now=0.0), ArrivalLog()
    for number in (1, 2, 4, 5):
        log.note(number, 1.0)
    log.build()
    assert look(meter, arrivals=log, now=1.0).up_loss is None


def test_the_round_trip_is_told_by_the_report_that_names_ours():
    meter = Meter(now=0.0)
    output = make_output(make_source())
    report = shift_sender_report(SenderReport(1, 0x1111_2222_3333_4444, 0, 1, 1), output, now=10.0)
    assert report.ssrc == output.ssrc
    meter.note_block(output, block(output, 1, 0, report=0x9999_9999, delay=0.1), now=10.5)
    assert meter.sum_up([], Rung.FULL, now=11.0)["round_trip_ms"] is None
    meter.note_block(output, block(output, 2, 0, report=0x2222_3333, delay=0.25), now=10.33)
    assert meter.sum_up([], Rung.FULL, now=16.0)["round_trip_ms"] == pytest.approx(80, abs=0.1)


def test_jitter_is_that_of_the_sound():
    meter = Meter(now=0.0)
    voice, camera = make_source(1, "audio"), make_source(2)
    meter.note_block(heard := make_output(voice), block(heard, 1, 0, jitter=480), now=1.0)
    meter.note_block(seen := make_output(camera, 1002), block(seen, 1, 0, jitter=900), now=1.0)
    for source in (voice, camera):
        source.take(1, 0, now=1.0)
    voice.jitter_ticks, camera.jitter_ticks = 96.0, 9000.0
    data = meter.sum_up([voice, camera], Rung.FULL, now=5.0)
    assert (data["up"]["jitter_ms"], data["down"]["jitter_ms"]) == (2.0, 10.0)


def test_only_an_estimate_that_fell_and_stays_low_is_falling():
    meter = Meter(now=0.0)
    for at, bits, falling in [
        (1.0, 300_000, False),
        (2.0, 400_000, False),
        (3.0, 340_000, True),
        (4.0, 345_000, True),
        (5.0, 340_000, True),
        (6.0, 360_000, False),
    ]:
        meter.note_estimate(bits, now=at)
        sight = look(meter, now=at)
        assert (sight.estimate, sight.falling) == (bits, falling)
    for at in range(7, 20):
        meter.note_estimate(360_000, now=float(at))
    assert look(meter, now=20.0).estimate is None, "the same again and again is no estimate"


def test_figures_come_every_five_seconds():
    meter = Meter(now=0.0)
    due = [second for second in range(1, 21) if meter.sum_up([], Rung.SMALLER, now=float(second))]
    assert due == [5, 10, 15, 20]


def test_a_publisher_is_capped_by_the_receiver_that_can_take_least_of_its_pictures():
    publisher = SimpleNamespace(sources={}, ladder=Ladder())
    camera, other = make_source(1, owner=publisher), make_source(9, owner=object())
    publisher.sources = {1: camera}
    assert find_cap(publisher) == ALL_BITS + SOUND_BITS

    def receiver(ssrc, bits, *sources):
        peer = Peer.__new__(Peer)
        peer.ladder = Ladder(Rung.SMALLER, bits)
        peer.outputs = {}
        for number, source in enumerate(sources):
            output = peer.outputs[(number, "video")] = make_output(source, ssrc + 2 * number)
            output.link = SimpleNamespace(media=peer)

    receiver(1000, 900_000, camera)
    receiver(2000, 800_000, camera, other)
    assert find_cap(publisher) == 400_000 + SOUND_BITS
    publisher.ladder = Ladder(Rung.SOUND_ONLY)
    assert find_cap(publisher) == SOUND_BITS, "its pictures would go to nobody"
