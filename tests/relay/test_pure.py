"""The small pure parts: STUN peek, RTCP, feedback about arrivals, NACK, history, liveness, arrival clock."""

import struct

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from video_server.relay import rtcp
from video_server.relay.arrival import ArrivalClock
from video_server.relay.history import AGES, SIZE, History
from video_server.relay.limits import FloodGate
from video_server.relay.liveness import Change, Liveness
from video_server.relay.nack import MAX_MISSING, TRIES, Missing
from video_server.relay.reports import report_reception
from video_server.relay.rtp import HEADER, find_extension, find_red_primary, mid_word, sequence_delta
from video_server.relay.stalls import Stalls
from video_server.relay.streams import Source
from video_server.relay.stun import peek_ufrag
from video_server.relay.twcc import ArrivalLog


def binding_request(*attributes, kind=1, cookie=0x2112A442):
    body = b"".join(
        struct.pack("!HH", name, len(value)) + value + b"\0" * (-len(value) % 4) for name, value in attributes
    )
    return struct.pack("!HHL", kind, len(body), cookie) + b"t" * 12 + body


def test_the_fragment_before_the_colon_is_ours():
    assert peek_ufrag(binding_request((0x24, b"\0\0\0\1"), (6, b"ours:theirs"))) == "ours"


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(binding_request((6, b"ours:theirs"))[:-1], id="cut short"),
        pytest.param(binding_request((6, b"ours:theirs")) + b"x", id="longer than it says"),
        pytest.param(binding_request((6, b"ours:theirs"), cookie=1), id="another cookie"),
        pytest.param(binding_request((6, b"ours:theirs"), kind=0x101), id="a response"),
        pytest.param(binding_request((6, b"no colon")), id="no colon"),
        pytest.param(binding_request((6, b"\xff\xfe:x")), id="not ASCII"),
        pytest.param(binding_request((0x24, b"abcd")), id="no username"),
        pytest.param(
            struct.pack("!HHL", 1, 4, 0x2112A442) + b"t" * 12 + struct.pack("!HH", 6, 400), id="attribute too long"
        ),
    ],
)
def test_anything_but_a_check_with_a_username_is_nobodys(data):
    assert peek_ufrag(data) is None


@given(st.binary(max_size=200))
def test_the_peek_never_raises(data):
    peek_ufrag(data)
    peek_ufrag(struct.pack("!HHL", 1, len(data), 0x2112A442) + b"t" * 12 + data)


@given(st.lists(st.integers(0, 65535), min_size=1, max_size=60, unique=True), st.integers(0, 65535))
def test_a_nack_says_exactly_what_is_missing(steps, start):
    lost = [(start + step) & 0xFFFF for step in sorted(steps)]
    (parsed,) = rtcp.parse(rtcp.build_nack(1, 2, lost))
    assert parsed.media_ssrc == 2
    assert sorted(set(parsed.sequences)) == sorted(set(lost))


@given(st.integers(0, 2**40))
def test_remb_rounds_down_by_less_than_a_hundred_thousandth(bits):
    (parsed,) = rtcp.parse(rtcp.build_remb(1, bits, [7, 8]))
    assert bits * (1 - 1e-5) - 1 < parsed.bits_per_second <= bits


def test_a_report_block_comes_back_as_it_went():
    block = rtcp.ReportBlock(9, 12, -3, 70000, 5, 0xABCDEF01, 77)
    (parsed,) = rtcp.parse(rtcp.build_receiver_report(4, [block]))
    assert parsed == rtcp.ReceiverReport(4, (block,))


def test_a_sender_report_comes_back_as_it_went():
    report = rtcp.SenderReport(1, 2**63 + 5, 6, 7, 8)
    assert rtcp.parse(rtcp.build_sender_report(report))[0] == report


def test_a_key_frame_is_asked_for_by_pli_and_by_fir():
    fir = struct.pack("!BBHLLLL", 0x84, 206, 4, 1, 0, 55, 1 << 24)
    assert rtcp.parse(rtcp.build_key_frame_request(1, 55)) == rtcp.parse(fir) == [rtcp.KeyFrameRequest(55)]


@given(st.binary(max_size=120))
def test_rtcp_of_any_bytes_is_parsed_or_refused_but_never_raises(data):
    rtcp.parse(data)
    for kind in (200, 201, 205, 206):
        for count in (1, 4, 15, 31):
            body = data[: len(data) // 4 * 4]
            rtcp.parse(struct.pack("!BBH", 0x80 | count, kind, len(body) // 4) + body)
            rtcp.parse(struct.pack("!BBH", 0xA0 | count, kind, len(body) // 4) + body)


def read_feedback(body):
    """Decode a transport-wide feedback body independently: {number: 250-microsecond ticks}, count, feedback number."""
    base, count, word = struct.unpack_from("!HHL", body)
    at, symbols = 8, []
    while len(symbols) < count:
        (chunk,) = struct.unpack_from("!H", body, at)
        at += 2
        if chunk >> 15 == 0:
            symbols += [chunk >> 13 & 3] * (chunk & 0x1FFF)
        else:
            assert chunk >> 14 == 3
            symbols += [chunk >> 12 - 2 * place & 3 for place in range(7)]
    assert not any(symbols[count:])
    ticks, arrivals = (word >> 8) * 256, {}
    for step, symbol in enumerate(symbols[:count]):
        if symbol == 1:
            ticks += body[at]
            at += 1
        elif symbol == 2:
            ticks += struct.unpack_from("!h", body, at)[0]
            at += 2
        if symbol:
            arrivals[(base + step) & 0xFFFF] = ticks
    assert at == len(body)
    return arrivals, count, word & 255


@given(
    st.integers(0, 65535),
    st.lists(st.tuples(st.integers(0, 60), st.floats(0, 12), st.booleans()), min_size=1, max_size=80),
)
def test_every_arrival_is_reported_at_its_time_and_nothing_else(start, steps):
    log = ArrivalLog()
    number, at, true, told, feedback_numbers = start, 50.0, {}, {}, []
    reported = start
    for step, wait, report in steps:
        number, at = number + step + (step == 0 and number in true), at + wait
        true.setdefault(number, at)
        log.note(number & 0xFFFF, at)
        if report or number - reported > 200:  # ten times a second: a message need not reach back further than 300
            reported = number
            for body in log.build():
                assert len(body) < 1100
                arrivals, _, feedback = read_feedback(body)
                feedback_numbers.append(feedback)
                told.update(arrivals)
    for body in log.build():
        arrivals, _, feedback = read_feedback(body)
        feedback_numbers.append(feedback)
        told.update(arrivals)
    assume(number - start < 900)
    assert told.keys() == {each & 0xFFFF for each in true}
    for each, time in true.items():
        assert abs(told[each & 0xFFFF] * 0.00025 - time) < 0.0006
    assert feedback_numbers == [n & 255 for n in range(len(feedback_numbers))]


def test_a_late_packet_is_still_reported():
    log = ArrivalLog()
    log.note(10, 1.0)
    log.note(12, 1.01)
    first, _, _ = read_feedback(log.build()[0])
    log.note(11, 1.05)
    log.note(13, 1.06)
    second, _, _ = read_feedback(log.build()[0])
    assert first.keys() == {10, 12}
    assert {11, 13} <= second.keys()
    assert log.build() == []


def test_missing_packets_are_asked_for_again_until_they_come_or_are_given_up():
    missing = Missing()
    assert missing.open_gap(65535, 3, now=0.0) == [65535, 0, 1]
    assert missing.due(now=0.05) == []
    assert missing.fill(0)
    assert missing.due(now=0.11) == [65535, 1]
    for turn in range(TRIES):
        missing.due(now=1.0 + turn)
    assert len(missing) == 0
    assert not missing.fill(1)


def test_a_hopeless_gap_is_not_asked_for():
    missing = Missing()
    assert missing.open_gap(0, MAX_MISSING + 1, now=0.0) == []
    assert len(missing) == 0


@given(st.integers(0, 65535), st.integers(1, 2 * SIZE))
def test_history_knows_and_keeps_the_last_512(start, count):
    history = History()
    packets = [HEADER.pack(0x90, 96, (start + step) & 0xFFFF, step, 1) for step in range(count)]
    for step, packet in enumerate(packets):
        history.put((start + step) & 0xFFFF, packet)
    for step, packet in enumerate(packets):
        assert history.knows((start + step) & 0xFFFF) is (step >= count - SIZE)
        assert history.find((start + step) & 0xFFFF) == (packet if step >= count - SIZE else None)
    assert not history.knows((start + count) & 0xFFFF)
    assert history.find((start + count) & 0xFFFF) is None


@given(st.integers(0, 65535), st.lists(st.integers(0, 200), min_size=AGES + 2, max_size=30))
def test_history_forgets_packets_as_they_age_but_not_that_they_came(start, batches):
    history, sequence, newest = History(), start, []
    for count in batches:
        for _ in range(count):
            sequence = (sequence + 1) & 0xFFFF
            history.put(sequence, bytes([0, 0]) + sequence.to_bytes(2, "big"))
        history.age(sequence)
        newest.append(sum(batches[: len(newest) + 1]))
        old = newest[-AGES - 1] if len(newest) > AGES else 0
        for number in range(max(1, newest[-1] - SIZE + 1), newest[-1] + 1):
            there = (start + number) & 0xFFFF
            assert history.knows(there)
            assert (history.find(there) is None) is (number <= old), (number, old)


def test_silence_is_told_once_then_heard_then_gone():
    liveness = Liveness(now=0.0)
    liveness.connected = True
    assert liveness.observe(10.0, now=11.9) is None
    assert liveness.observe(10.0, now=12.0) is Change.SILENT
    assert liveness.observe(10.0, now=13.0) is None
    assert liveness.observe(13.5, now=14.0) is Change.HEARD
    assert liveness.observe(13.5, now=43.5) is Change.GONE


def test_who_never_connects_is_gone_after_thirty_seconds_without_being_silent_first():
    liveness = Liveness(now=100.0)
    assert liveness.observe(0.0, now=129.9) is None
    assert liveness.observe(129.0, now=130.0) is Change.GONE, "knocking is not connecting"


def test_who_hangs_up_is_silent_at_once_and_not_heard_again():
    liveness = Liveness(now=0.0)
    liveness.connected = True
    assert liveness.hang_up(now=10.0) is Change.SILENT
    assert liveness.observe(10.0, now=10.1) is None
    assert liveness.observe(10.0, now=40.0) is Change.GONE


def arrival(clock, stamp, *, now):
    return stamp + clock.shift(stamp, now=now)


def test_our_own_stall_does_not_delay_an_arrival():
    clock = ArrivalClock()
    assert arrival(clock, 1_700_000_000.0, now=5.0) == 5.0
    assert arrival(clock, 1_700_000_000.1, now=5.4) == pytest.approx(5.1)


def test_setting_the_wall_clock_costs_one_packets_exactness_and_no_more():
    clock = ArrivalClock()
    arrival(clock, 1000.0, now=5.0)
    for stamp in (9000.0, 200.0):
        assert arrival(clock, stamp, now=6.0) == 6.0
        assert arrival(clock, stamp + 0.1, now=6.4) == pytest.approx(6.1)


@given(st.integers(0, 65535), st.integers(-32768, 32767))
def test_a_delta_undoes_the_modulo(earlier, delta):
    assert sequence_delta((earlier + delta) & 0xFFFF, earlier) == delta


def test_an_extension_is_found_in_both_forms():
    one = bytes.fromhex("bede0002 00 31 0102 40 33 000000".replace(" ", ""))
    assert find_extension(one, 3) == b"\1\2"
    assert find_extension(one, 4) == b"3"
    assert find_extension(one, 5) is None
    assert find_extension(bytes.fromhex("10000001 04 02 3132".replace(" ", "")), 4) == b"12"


@given(st.binary(max_size=64), st.integers(1, 255))
def test_looking_for_an_extension_never_raises(data, wanted):
    for head in (b"\xbe\xde\0\1", b"\x10\0\0\1", b""):
        find_extension(head + data, wanted)
        find_red_primary(data)


def test_the_mid_word_reads_back_as_the_mid():
    assert find_extension(bytes.fromhex("bede0001") + mid_word(4, "10").to_bytes(4, "big"), 4) == b"10"
    assert mid_word(None, "1") == mid_word(4, "much longer") == 0


def test_a_receiver_report_counts_loss_across_the_wrap():
    source = Source(1, "video", "vp8", 96, screen=False, owner=None)
    for sequence in (65534, 65535, 0, 2, 3):
        source.take(sequence, sequence, now=1.0)
    block = report_reception(source, now=2.0)
    assert (block.packets_lost, block.fraction_lost, block.highest_sequence) == (1, 256 // 6, 65536 + 3)
    source.take(4, 4, now=2.0)
    assert report_reception(source, now=3.0).fraction_lost == 0


def test_a_flood_is_stopped_and_its_neighbours_are_not():
    gate = FloodGate()
    assert [gate.passes("loud", 3, now=1.0 + n / 10) for n in range(5)] == [True, True, True, False, False]
    assert gate.passes("quiet", 3, now=1.5)
    assert gate.passes("loud", 3, now=2.0), "the next second begins anew"


def test_however_many_addresses_are_forged_memory_stays_and_newcomers_pass():
    gate = FloodGate()
    for number in range(20_000):
        assert gate.passes(number, 1, now=1.0)
    assert len(gate) <= 8192
    assert gate.passes("newcomer", 1, now=1.0)
    assert not gate.passes(5, 1, now=1.0), "who was counted stays counted"


@given(st.lists(st.tuples(st.floats(0, 30), st.floats(0, 3)), max_size=60))
def test_the_longest_stall_is_that_of_the_last_minute(steps):
    stalls, seen, now = Stalls(), [], 0.0
    for wait, stall in steps:
        now += wait
        stalls.note(stall, now=now)
        seen.append((now, stall))
        assert stalls.find_recent_ms() == round(1000 * max(s for at, s in seen if now - at <= 60), 1)
    assert stalls.count() == {str(limit): sum(s * 1000 > limit for _, s in seen) for limit in (5, 20, 100, 1000)}
