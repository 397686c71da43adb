"""Control messages: what is well-formed passes, everything else is answered with why."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from video_server.relay.protocol import (
    MAX_LINE_BYTES,
    Admit,
    AudioOnly,
    CloseRoom,
    Drain,
    Event,
    Hello,
    Hold,
    Join,
    Leave,
    LineSplitter,
    Permit,
    Refused,
    Reply,
    RestartIce,
    Status,
    parse_message,
    parse_request,
    render_message,
    render_request,
)

REQUESTS = [
    Join("room", 1, "p", "v=0", True),
    Join("room", 1, "p", "v=0", False, echo=True),
    Join("room", 1, "p", "v=0", True, publish=("audio",)),
    RestartIce("room", 2, "p", "v=0"),
    Admit("room", 0, "p", False),
    Permit("r", 3, "p", ("screen", "audio")),
    Permit("r", 3, "p", ()),
    AudioOnly("r", 3, "p", True),
    Hold("r", 3, True, 7),
    Leave("r", 3, "p"),
    CloseRoom("r", 3),
    Drain(True),
    Status(),
]


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda r: r.op)
def test_a_request_comes_back_as_it_went(request_):
    assert parse_request(render_request(7, request_)) == (7, request_)


@pytest.mark.parametrize(
    "message",
    [
        Hello("abc"),
        Reply(1, result={"answer": "v=0"}),
        Reply(2, code="full", detail="no more"),
        Event("slots", "r", "p", {"slots": []}),
    ],
    ids=lambda m: type(m).__name__,
)
def test_a_message_comes_back_as_it_went(message):
    line = render_message(message)
    assert line.count(b"\n") == 1
    assert parse_message(line) == message


GOOD = {"id": 5, "op": "admit", "room": "r", "epoch": 1, "participant": "p", "admitted": True}


@pytest.mark.parametrize(
    ("change", "number"),
    [
        pytest.param({"op": "nonsense"}, 5, id="unknown op"),
        pytest.param({"op": 7}, 5, id="op no text"),
        pytest.param({"op": []}, 5, id="op a list"),
        pytest.param({"id": None}, 0, id="no id"),
        pytest.param({"id": True}, 0, id="id a boolean"),
        pytest.param({"id": 1.5}, 0, id="id broken"),
        pytest.param({"room": "a b"}, 5, id="room with a space"),
        pytest.param({"room": "x" * 65}, 5, id="room too long"),
        pytest.param({"room": "room\n"}, 5, id="room with a newline"),
        pytest.param({"participant": ""}, 5, id="no participant"),
        pytest.param({"epoch": -1}, 5, id="epoch negative"),
        pytest.param({"epoch": "1"}, 5, id="epoch a text"),
        pytest.param({"epoch": True}, 5, id="epoch a boolean"),
        pytest.param({"epoch": 2**60}, 5, id="epoch too large"),
        pytest.param({"admitted": 1}, 5, id="admitted no boolean"),
        pytest.param({"extra": 1}, 5, id="unknown field"),
        pytest.param({"op": "join", "offer": "x" * 65537}, 5, id="offer too long"),
        pytest.param({"op": "join", "offer": None}, 5, id="offer missing"),
    ],
)
def test_a_bad_request_is_told_so_under_its_id(change, number):
    assert parse_request(json.dumps(GOOD).encode())[1] == Admit("r", 1, "p", True)
    got, refusal = parse_request(json.dumps(GOOD | change).encode())
    assert got == number
    assert isinstance(refusal, Refused)
    assert refusal.code == "bad_request"


@pytest.mark.parametrize("publish", [None, "audio", ["smell"], ["audio", "audio"], [["audio"]], {"audio": 1}, [1]])
def test_only_a_list_of_known_kinds_can_be_permitted(publish):
    line = {"id": 5, "op": "permit", "room": "r", "epoch": 1, "participant": "p", "publish": publish}
    _, refusal = parse_request(json.dumps(line).encode())
    assert refusal.code == "bad_request"


def test_a_join_without_echo_and_publish_means_no_echo_and_everything():
    line = {"id": 5, "op": "join", "room": "r", "epoch": 1, "participant": "p", "offer": "v=0", "admitted": True}
    assert parse_request(json.dumps(line).encode())[1] == Join(
        "r", 1, "p", "v=0", True, echo=False, publish=("audio", "video", "screen")
    )


@pytest.mark.parametrize("field", ["room", "epoch", "participant", "admitted"])
def test_a_missing_field_is_a_bad_request(field):
    _, refusal = parse_request(json.dumps({k: v for k, v in GOOD.items() if k != field}).encode())
    assert refusal.code == "bad_request"


@given(
    st.binary(max_size=300)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda c: st.lists(c) | st.dictionaries(st.text(), c)
    ).map(lambda v: json.dumps(v).encode())
)
def test_no_line_at_all_raises(line):
    number, request = parse_request(line)
    assert isinstance(number, int)
    assert isinstance(request, Refused)


def test_nesting_without_end_is_refused():
    assert isinstance(parse_request(b"[" * 100_000)[1], Refused)


@given(st.lists(st.binary(max_size=40).map(lambda b: b.replace(b"\n", b"")), max_size=20), st.data())
def test_lines_are_cut_the_same_however_they_arrive(lines, data):
    stream = b"".join(line + b"\n" for line in lines)
    splitter, got = LineSplitter(limit=20), []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        got += splitter.feed(stream[:size])
        stream = stream[size:]
    assert got == [line if len(line) <= 20 else None for line in lines]


def test_an_endless_line_takes_no_memory():
    splitter = LineSplitter()
    told = [line for _ in range(40) for line in splitter.feed(b"x" * 65536)]
    assert told == [None]
    assert len(splitter._rest) <= MAX_LINE_BYTES
    assert splitter.feed(b"tail\nnext\n") == [b"next"]
