"""What the bench computes from what it measures."""

import json

import pytest

from tests.bench.figures import (
    OF_A_FORWARDER,
    PYTHON,
    TARGETS,
    Target,
    carries,
    guess_capacity,
    judge,
    percentile_ms,
    render_json,
    render_table,
    spread_targets,
    summarise,
)


def histogram(*microseconds):
    counts = [0] * 1001
    for each in microseconds:
        counts[each] += 1
    return counts


@pytest.mark.parametrize(
    ("share", "expected"),
    [pytest.param(0.5, 0.05, id="median"), pytest.param(0.99, 0.099, id="p99"), pytest.param(1, 0.1, id="all")],
)
def test_a_percentile_is_what_so_many_packets_did_not_exceed(share, expected):
    assert percentile_ms(histogram(*range(1, 101)), share) == expected


def test_a_percentile_of_nothing_is_no_figure():
    with pytest.raises(ValueError, match="nothing was received"):
        percentile_ms(histogram(), 0.5)


def test_a_sample_says_cost_load_and_loss():
    sample = summarise(histogram(100, 100, 200), expected=4, received=3, cpu_seconds=0.6, seconds=2)
    assert (sample.cpu_us, sample.busy, sample.rate, sample.loss) == (pytest.approx(200_000), 0.3, 1.5, 0.25)
    assert (sample.p50_ms, sample.p99_ms) == (0.1, 0.2)


def test_what_both_forwarders_have_stands_in_two_rows_and_the_plain_name_is_the_compiled_ones():
    names = [target.name for target in spread_targets()]
    assert names[:2] == ["janus_cpu_ratio", "janus_cpu_ratio_python"]
    assert set(names) == {target.name for target in TARGETS} | {name + PYTHON for name in OF_A_FORWARDER}
    ours = {"janus_cpu_ratio": [0.5], "janus_cpu_ratio_python": [0.7]}
    compiled, python = render_table(ours, {}, spread_targets()).splitlines()[1:3]
    assert "MISSED" in python
    assert "(Python, the default)" in python
    assert "must" in compiled
    assert "(compiled)" in compiled
    assert json.loads(render_json(ours, spread_targets())) == {name: values[0] for name, values in ours.items()}


def test_packets_of_the_run_before_are_no_negative_loss():
    assert summarise(histogram(1, 1), expected=1, received=2, cpu_seconds=1, seconds=1).loss == 0


@pytest.mark.parametrize(
    ("microseconds", "received", "carried"),
    [
        pytest.param([900] * 1000, 1000, True, id="all there and soon"),
        pytest.param([900] * 980 + [1000] * 20, 1000, False, id="two in a hundred late"),
        pytest.param([900] * 990, 990, False, id="one in a hundred missing"),
    ],
)
def test_a_server_carries_what_it_delivers_whole_and_soon(microseconds, received, carried):
    sample = summarise(histogram(*microseconds), expected=1000, received=received, cpu_seconds=1, seconds=1)
    assert carries(sample, p99_ms=0.95) is carried


def test_the_search_for_the_limit_begins_below_it_and_never_below_what_was_carried():
    assert guess_capacity(30, 0.3) == 70
    assert guess_capacity(30, 0.9) == 30


LESS = Target("less", "less is better", must=0.6, aim=0.4)
MORE = Target("more", "more is better", must=1.7, aim=2.5, more=True)


@pytest.mark.parametrize(
    ("target", "value", "verdict"),
    [
        (LESS, 0.4, "aim"), (LESS, 0.41, "must"), (LESS, 0.6, "must"), (LESS, 0.61, "MISSED"),
        (MORE, 2.5, "aim"), (MORE, 2.49, "must"), (MORE, 1.7, "must"), (MORE, 1.69, "MISSED"),
        (Target("free", "", must=0, aim=0), 5, ""),
    ],
)  # fmt: skip
def test_a_figure_is_judged_by_its_target(target, value, verdict):
    assert judge(target, value) == verdict


def test_the_table_has_every_figure_measured_or_not():
    table = render_table({"join_ms": [150.0, 120.0, 190.0]}, {"ramp_ms": "no browser"})
    assert [line.split()[0] for line in table.splitlines()] == ["figure", *(target.name for target in TARGETS)]
    line = next(line for line in table.splitlines() if line.startswith("join_ms"))
    assert line.split()[1:7] == ["200", "130", "150", "120", "..", "190"]
    assert "not measured: no browser" in table


def test_the_last_line_is_one_flat_object_of_medians():
    line = render_json({"join_ms": [150.0, 120.0, 190.0], "answer_ms": [2.0]})
    assert "\n" not in line
    assert json.loads(line) == {"join_ms": 150.0, "answer_ms": 2.0}
