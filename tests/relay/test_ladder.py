"""The ladder: how much of a call a link can carry, seen from what it shows; with a simulated link to climb on."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from video_server.relay.ladder import ALL_BITS, MIN_PICTURE_BITS, Ladder, Rung, Sight, choose_picture_bits

RED_BITS, LEAN_BITS = 75_000, 51_000
GOOD = Sight(estimate=3_000_000, sound=RED_BITS, picture=1_500_000, pictures=1, down_loss=0.0, up_loss=0.0)


class Link:
    """A simulated path: what is sent beyond its capacity is lost, the browser's estimate falls below its capacity.

    As with real browsers there is an estimate only while pictures come.
    """

    def __init__(self, capacity, loss=0.0, *, ladder=None):
        self.capacity, self.loss = capacity, loss
        self.ladder = ladder or Ladder()
        self.now = 1000.0
        self.estimate = 300_000
        self.falling = False
        self.steps = []  # (second, rung, lean)

    def second(self):
        sees = self.ladder.rung.depth < Rung.NO_PICTURE.depth
        picture = min(self.ladder.picture_bits, 1_500_000) if sees else 0
        sound = LEAN_BITS if self.ladder.lean else RED_BITS
        sent = picture + sound
        over = max(0.0, 1 - self.capacity / sent)
        if over > 0:
            self.falling, self.estimate = True, int(0.85 * self.capacity)
        else:
            risen = min(int(1.08 * self.estimate) + 1000, int(1.5 * sent))
            self.falling = self.falling and risen <= 1.05 * self.estimate
            self.estimate = max(risen, min(self.estimate, int(1.5 * sent)))
        sight = Sight(self.estimate, self.falling, sound, picture, int(sees), min(1.0, over + self.loss), self.loss)
        self.ladder = self.ladder.step(sight, now=self.now)
        self.steps.append((self.now, self.ladder.rung, self.ladder.lean))
        self.now += 1

    def run(self, seconds):
        for _ in range(seconds):
            self.second()
        return self.ladder.rung

    def changes(self):
        rungs = [rung for _, rung, _ in self.steps]
        return sum(one is not other for one, other in pairwise(rungs))

    def share(self, *rungs):
        """Return the part of the last ten minutes spent on these rungs."""
        lately = [rung for at, rung, _ in self.steps if at > self.now - 600]
        return sum(rung in rungs for rung in lately) / len(lately)


@pytest.mark.parametrize("loss", [0.0, 0.03, 0.1])
def test_a_good_link_stays_where_it_is_whatever_radio_loses_now_and_then(loss):
    link = Link(4_000_000, loss)
    assert link.run(3600) is Rung.FULL
    assert link.changes() == 0


def test_three_hundred_kilobits_mean_a_smaller_picture():
    link = Link(300_000)
    link.run(900)
    assert link.share(Rung.SMALLER) > 0.95
    assert link.changes() < 4


def test_sixty_kilobits_and_a_tenth_lost_mean_lean_sound_within_ten_seconds_and_rare_attempts():
    link = Link(60_000, 0.1)
    assert link.run(10) is Rung.SOUND_ONLY
    assert link.ladder.lean
    link.run(3600)
    assert link.share(Rung.SOUND_ONLY) > 0.9
    lean = [lean for at, _, lean in link.steps if at > link.now - 600]
    assert sum(lean) / len(lean) > 0.9, "sound is drowned by its own redundancy"
    assert all(rung is not Rung.RING for _, rung, _ in link.steps)


def test_between_sound_and_a_picture_there_is_sound_with_its_redundancy():
    link = Link(110_000)
    link.run(3600)
    assert link.share(Rung.NO_PICTURE, Rung.SOUND_ONLY) > 0.85
    assert not any(lean for at, _, lean in link.steps if at > link.now - 600)


@pytest.mark.parametrize("start", [Rung.SMALLER, Rung.NO_PICTURE, Rung.SOUND_ONLY, Rung.RING])
def test_from_any_rung_a_link_that_is_good_again_climbs_to_the_top_one_rung_at_a_time(start):
    link = Link(4_000_000, ladder=Ladder(start, MIN_PICTURE_BITS, lean=start.depth >= Rung.SOUND_ONLY.depth))
    assert link.run(90) is Rung.FULL
    assert link.ladder.picture_bits == ALL_BITS
    depths = [start.depth, *(rung.depth for _, rung, _ in link.steps)]
    assert all(after in (before, before - 1) for before, after in pairwise(depths))


def test_after_an_hour_of_failed_attempts_a_link_that_is_good_again_is_believed_within_minutes():
    link = Link(60_000, 0.1)
    link.run(3600)
    link.capacity, link.loss = 4_000_000, 0.0
    assert link.run(480) is Rung.FULL


def test_what_does_not_even_carry_sound_means_ring_and_sound_comes_back_by_itself():
    link = Link(15_000, 0.3)
    link.run(60)
    assert link.ladder.rung is Rung.RING
    link.capacity, link.loss = 60_000, 0.05
    link.run(150)
    assert link.ladder.rung is Rung.SOUND_ONLY


def test_a_link_that_fell_silent_means_ring_at_once():
    ladder = Ladder().step(replace(GOOD, quiet_seconds=9.0), now=1.0)
    assert ladder.rung is Rung.FULL
    assert ladder.step(replace(GOOD, quiet_seconds=10.0), now=2.0).rung is Rung.RING


SILENCE = [replace(GOOD, quiet_seconds=float(second)) for second in range(25)]


def after_silence(ladder, sight, *, seconds):
    """Return the rungs of the seconds after a silence of 25 s in which the link shows `sight`."""
    rungs = []
    for second, seen in enumerate([*SILENCE, *[sight] * seconds]):
        ladder = ladder.step(seen, now=float(second))
        rungs.append(ladder.rung)
    assert rungs[len(SILENCE) - 1] is Rung.RING
    return rungs[len(SILENCE) :]


@pytest.mark.parametrize("stood", list(Rung)[:4])
def test_who_was_silent_and_comes_back_over_a_good_path_stands_where_it_stood_within_seconds(stood):
    before = Ladder(stood, MIN_PICTURE_BITS if stood is not Rung.FULL else ALL_BITS)
    rungs = after_silence(before, replace(GOOD, estimate=None, picture=0), seconds=5)
    assert stood in rungs
    assert min(rung.depth for rung in rungs) >= max(0, stood.depth - 1), "and climbs on from there as from anywhere"


@pytest.mark.parametrize("worse", [{"down_loss": 0.2}, {"up_loss": 0.2}, {"quiet_seconds": 3.0}])
def test_who_comes_back_over_a_worse_path_climbs_one_rung_at_a_time(worse):
    rungs = after_silence(Ladder(), replace(GOOD, estimate=None, picture=0, **worse), seconds=60)
    depths = [Rung.RING.depth, *(rung.depth for rung in rungs)]
    assert all(after >= former - 1 for former, after in pairwise(depths))
    assert rungs[5] is Rung.RING


def test_a_return_that_was_too_hopeful_is_a_failed_attempt_and_doubles_the_wait():
    link = Link(4_000_000)
    link.run(60)
    for sight in SILENCE:
        link.ladder = link.ladder.step(sight, now=link.now)
        link.now += 1
    link.capacity, link.loss, link.estimate = 60_000, 0.1, 40_000
    link.run(60)
    assert link.ladder.rung.depth >= Rung.NO_PICTURE.depth
    assert link.ladder.patience_seconds > 10
    link.steps.clear()
    link.run(900)
    assert link.share(Rung.SOUND_ONLY, Rung.NO_PICTURE) > 0.9


def test_who_loses_much_on_the_way_up_sends_no_picture_any_more():
    ladder = Ladder()
    for second in range(5):
        ladder = ladder.step(replace(GOOD, up_loss=0.3), now=float(second))
    assert ladder.rung is Rung.SOUND_ONLY
    assert not ladder.lean, "its downlink is fine"


def test_one_bad_second_costs_no_picture():
    ladder = Ladder()
    bad = replace(GOOD, estimate=50_000, falling=True, down_loss=0.6, up_loss=0.6)
    for second in range(60):
        ladder = ladder.step(bad if second % 5 == 0 else GOOD, now=float(second))
        assert ladder.rung.depth <= Rung.SMALLER.depth


def test_a_low_estimate_that_rises_is_no_complaint():
    assert choose_picture_bits(ALL_BITS, replace(GOOD, estimate=300_000, falling=False)) == ALL_BITS
    assert choose_picture_bits(ALL_BITS, replace(GOOD, estimate=300_000, falling=True)) == 300_000 - RED_BITS


sights = st.builds(
    Sight,
    estimate=st.none() | st.integers(0, 10_000_000),
    falling=st.booleans(),
    sound=st.integers(0, 500_000),
    picture=st.integers(0, 10_000_000),
    pictures=st.integers(0, 8),
    down_loss=st.none() | st.floats(0, 1),
    up_loss=st.none() | st.floats(0, 1),
    quiet_seconds=st.floats(0, 60),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(sights, max_size=120))
def test_whatever_is_seen_climbing_takes_time_and_goes_by_one_rung_and_limits_stay_in_bounds(seen):
    ladder, climbed_at, stood = Ladder(), None, None
    for second, sight in enumerate(seen):
        now = float(second)
        former, ladder = ladder, ladder.step(sight, now=now)
        assert MIN_PICTURE_BITS <= ladder.picture_bits <= ALL_BITS
        assert 10 <= ladder.patience_seconds <= 120
        if ladder.lean:
            assert ladder.rung.depth >= Rung.SOUND_ONLY.depth
        if sight.quiet_seconds >= 10 and former.rung is not Rung.RING:
            stood = former.rung
        up = former.rung.depth - ladder.rung.depth
        if up > 1 or (up == 1 and former.before is not None and ladder.rung is stood):
            assert former.rung is Rung.RING, "several rungs at once only after a silence"
            assert ladder.rung is stood, "and never higher than before it"
            climbed_at = now
        elif up > 0 and former.rung is not Rung.SMALLER:
            assert climbed_at is None or now - climbed_at >= 10
            climbed_at = now
