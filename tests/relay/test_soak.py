"""The soak in its short form: long enough for every number to wrap once on the way in and once on the way out."""

from tests.bench.soak import GROWTH_MB, soak


async def test_numbers_and_rollover_counters_wrap_and_memory_stays(tmp_path):
    seen = await soak(tmp_path, rooms=1, wraps=1, patience_seconds=240)
    assert seen.not_authentic == 0
    assert not set(seen.dropped) & {"not_authentic", "replayed", "not_encrypted"}, seen.dropped
    assert seen.growth_mb < GROWTH_MB, seen.memory_mb
