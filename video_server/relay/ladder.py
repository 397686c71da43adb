"""How much of a call one participant's link can carry: a pure decision from what was seen of the link, and time.

A link gives way one rung at a time or several at once: first the picture becomes smaller (the publishers are asked for
less), then there is none for this participant, then its own is not forwarded either and its sound comes without its
redundancy, then not even sound gets through and people must telephone. It climbs back one rung at a time, by trying:
nothing but the attempt shows whether a link carries more than it is sent. Each failed attempt doubles the wait.
Who was not heard at all for a while (a locked phone) and comes back over a path that shows nothing worse than before
tries at once to stand where it stood.
"""

from dataclasses import dataclass, replace
from enum import StrEnum


class Rung(StrEnum):
    """Where a link stands, best first; the values are those of the `rung` event."""

    FULL = "full"
    SMALLER = "smaller"
    NO_PICTURE = "no_picture"
    SOUND_ONLY = "sound_only"
    RING = "ring"

    @property
    def depth(self) -> int:
        """Return how far down it is: 0 is the best."""
        return _DEPTHS[self]


_DEPTHS = {rung: depth for depth, rung in enumerate(Rung)}

ALL_BITS = 6_000_000
"""Picture bits per second allowed to who does not complain: no limit, in effect."""

FULL_BITS = 2_500_000
"""A limit above this binds no camera."""

MIN_PICTURE_BITS = 120_000
"""Below this a picture is no use."""

_GROWTH = 1.15
_CONGESTED = 0.85
_LOSSY = 0.15
_HEAVY = 0.25
_CLEAN = 0.13
_DEAF = 0.6
"""Sound with its redundancy is still understood at half."""

_QUIET_SECONDS = 10.0
_FALL_SECONDS = {Rung.NO_PICTURE: 2.0, Rung.SOUND_ONLY: 3.0, Rung.RING: 6.0}
_PATIENCE_SECONDS = 10.0
_MAX_PATIENCE_SECONDS = 120.0
_RELAPSE_SECONDS = 30.0
_RETURN_SECONDS = 3.0
_HEARD_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Sight:
    """What was seen of a link lately.

    estimate        bits per second its downlink carries by the browser's own reckoning (REMB); None: it never said
    falling         that estimate fell, and has not risen since
    sound, picture  bits per second it is sent
    pictures        how many pictures it is sent
    down_loss       fraction lost on the way to it; None: unknown
    up_loss         fraction lost on the way from it; None: unknown
    quiet_seconds   since anything authentic came from it
    """

    estimate: int | None = None
    falling: bool = False
    sound: int = 0
    picture: int = 0
    pictures: int = 0
    down_loss: float | None = None
    up_loss: float | None = None
    quiet_seconds: float = 0.0

    @property
    def congested(self) -> bool:
        """Say whether it is sent clearly more than it can take.

        An estimate that stands or rises proves nothing however low it is: it begins low, and never exceeds about one
        and a half times what happens to be sent.
        """
        sent = self.sound + self.picture
        return self.falling and self.estimate is not None and self.estimate < _CONGESTED * sent

    @property
    def thin(self) -> bool:
        """Say whether even sound had better be less: without pictures browsers give no estimate, and loss must tell."""
        return self.congested or (self.down_loss or 0.0) >= _HEAVY


@dataclass(frozen=True, slots=True)
class Ladder:
    """Where one link stands. Times are monotonic seconds.

    picture_bits   what all pictures it is sent may take together, in bits per second
    lean           its sound goes without redundancy
    worse_since    since when it shows that it cannot stay on this rung; None: it does not
    better_since   since when nothing speaks against a higher rung; None: something does
    climbed_at     when it last climbed; None: never
    before         where it stood when it fell silent, as long as it has not been heard well again; else None
    """

    rung: Rung = Rung.FULL
    picture_bits: int = ALL_BITS
    lean: bool = False
    worse_since: float | None = None
    better_since: float | None = None
    climbed_at: float | None = None
    patience_seconds: float = _PATIENCE_SECONDS
    before: "Ladder | None" = None

    def step(self, sight: Sight, *, now: float) -> "Ladder":
        """Return where the link stands after this look, one look a second."""
        limit = find_limit(self, sight)
        if limit.depth > self.rung.depth:
            if sight.quiet_seconds >= _QUIET_SECONDS:
                return replace(self._fall(limit, lean=sight.thin, now=now), before=self)
            since = now if self.worse_since is None else self.worse_since
            if now - since >= _FALL_SECONDS[limit]:
                return self._fall(limit, lean=sight.thin, now=now)
            return replace(self._give_way(sight, now=now), worse_since=since, better_since=None)
        if not is_clean(self.rung, sight):
            return replace(self._give_way(sight, now=now), worse_since=None, better_since=None)
        since = now if self.better_since is None else self.better_since
        if self.before is not None and now - since >= _RETURN_SECONDS and is_as_before(sight):
            return replace(self.before, worse_since=None, better_since=None, climbed_at=now)
        if self.rung.depth >= Rung.NO_PICTURE.depth and now - since >= self.patience_seconds:
            return self._climb(now=now)
        return replace(self._give_way(sight, now=now), worse_since=None, better_since=since)

    def _give_way(self, sight: Sight, *, now: float) -> "Ladder":
        """Return the same with the picture, or the sound, as large as the link can take now."""
        if self.rung.depth >= Rung.SOUND_ONLY.depth:
            return self._fall(self.rung, lean=True, now=now) if sight.thin and not self.lean else self
        if self.rung is Rung.NO_PICTURE:
            return self
        bits = choose_picture_bits(self.picture_bits, sight)
        rung = Rung.FULL if bits >= FULL_BITS else Rung.SMALLER
        return replace(self, rung=rung, picture_bits=ALL_BITS if rung is Rung.FULL else bits)

    def _fall(self, rung: Rung, *, lean: bool, now: float) -> "Ladder":
        relapse = self.climbed_at is not None and now - self.climbed_at < _RELAPSE_SECONDS
        patience = min(_MAX_PATIENCE_SECONDS, 2 * self.patience_seconds) if relapse else _PATIENCE_SECONDS
        return Ladder(rung, MIN_PICTURE_BITS, lean and rung.depth >= Rung.SOUND_ONLY.depth, patience_seconds=patience)

    def _climb(self, *, now: float) -> "Ladder":
        """Try one step up: from lean sound to sound with redundancy first, which nobody sees."""
        if self.lean and self.rung is Rung.SOUND_ONLY:
            return replace(self, lean=False, better_since=None, worse_since=None, climbed_at=now)
        rung = list(Rung)[self.rung.depth - 1]
        return replace(self, rung=rung, better_since=None, worse_since=None, climbed_at=now, before=None)


def find_limit(ladder: Ladder, sight: Sight) -> Rung:
    """Return the highest rung that what was seen allows; FULL when nothing speaks against any."""
    down, up = sight.down_loss or 0.0, sight.up_loss or 0.0
    deep = ladder.rung.depth
    if sight.quiet_seconds >= _QUIET_SECONDS or (deep >= Rung.SOUND_ONLY.depth and max(down, up) >= _DEAF):
        return Rung.RING
    if up >= _HEAVY:
        return Rung.SOUND_ONLY
    if deep >= Rung.NO_PICTURE.depth:
        return Rung.SOUND_ONLY if sight.thin else Rung.FULL
    smallest = MIN_PICTURE_BITS * max(1, sight.pictures)
    starved = sight.congested and (sight.estimate or 0) - sight.sound < smallest
    drowned = down >= _HEAVY and ladder.picture_bits <= smallest
    return Rung.NO_PICTURE if starved or drowned else Rung.FULL


def is_clean(rung: Rung, sight: Sight) -> bool:
    """Say whether nothing speaks against a higher rung."""
    bearable = _HEAVY if rung is Rung.RING else _CLEAN
    return (
        not sight.congested
        and max(sight.down_loss or 0.0, sight.up_loss or 0.0) < bearable
        and (sight.quiet_seconds < _QUIET_SECONDS / 2)
    )


def is_as_before(sight: Sight) -> bool:
    """Say whether a link that was silent is heard again and shows no more loss than any good radio link."""
    return sight.quiet_seconds < _HEARD_SECONDS and max(sight.down_loss or 0.0, sight.up_loss or 0.0) < _CLEAN


def choose_picture_bits(bits: int, sight: Sight) -> int:
    """Return what all pictures together may take from now on: down to what gets through, up step by step."""
    smallest = MIN_PICTURE_BITS * max(1, sight.pictures)
    if sight.congested:
        return max(smallest, min(bits, (sight.estimate or 0) - sight.sound))
    if sight.down_loss is not None and sight.down_loss >= _LOSSY:
        return max(smallest, int(min(bits, sight.picture) * (1 - sight.down_loss / 2)))
    return min(ALL_BITS, int(bits * _GROWTH))
