"""Offers of a real browser are answered; anything else is refused in so many words."""

import re
from pathlib import Path

import pytest
from aiortc.sdp import SessionDescription
from hypothesis import given, settings
from hypothesis import strategies as st

from video_server.relay.peers import assign_sending
from video_server.relay.sdp import MID_URI, TRANSPORT_CC_URI, BadOffer, Endpoint, parse_offer, render_answer

CHROMIUM = (Path(__file__).parent / "offer_chromium.sdp").read_bytes().decode()
ENDPOINT = Endpoint("ufragufr", "p" * 24, ":".join(["AB"] * 32), (("198.51.100.7", 5004), ("127.0.0.1", 5004)))


FIREFOX = (Path(__file__).parent / "offer_firefox.sdp").read_bytes().decode()
SAFARI = (Path(__file__).parent / "offer_safari.sdp").read_bytes().decode()
"""Written by hand after what Safari 17 is known to offer, not recorded: H264 first, in high and constrained baseline
profile, then H265, VP8 and VP9; its SSRCs and FID groups stand as in Chromium, whose engine it shares."""


def answer(text=CHROMIUM):
    offer = parse_offer(text)
    sending = assign_sending(offer)
    return offer, sending, render_answer(offer, sending, ENDPOINT)


def sections(text):
    return re.split(r"(?m)^(?=m=)", text)[1:]


def test_a_chromium_offer_has_microphone_camera_screen_and_four_slots():
    offer = parse_offer(CHROMIUM)
    assert [(line.kind, line.receives) for line in offer.lines] == [
        ("audio", False), ("video", False), ("video", False), *[("audio", True), ("video", True)] * 4,
    ]  # fmt: skip
    assert offer.slots == 4
    assert [each.codec for each in offer.lines[0].formats] == ["red", "opus"]
    assert [each.codec for each in offer.lines[1].formats] == ["vp8", "h264"]
    assert all(each.rtx_payload_type for each in offer.lines[1].formats)
    camera = offer.lines[1]
    assert set(camera.rtx_of) | set(camera.rtx_of.values()) == set(camera.ssrcs)


@pytest.mark.parametrize(
    ("text", "sound", "picture"),
    [
        pytest.param(CHROMIUM, ["red", "opus"], ["vp8", "h264"], id="Chromium"),
        pytest.param(FIREFOX, ["opus"], ["vp8"], id="Firefox without its H264 plug-in"),
        pytest.param(SAFARI, ["red", "opus"], ["vp8", "h264"], id="Safari"),
    ],
)
def test_every_browser_meets_every_other_in_opus_and_vp8_with_retransmission(text, sound, picture):
    offer, _, answered = answer(text)
    assert offer.slots == 4
    for line in offer.lines:
        assert [each.codec for each in line.formats] == (sound if line.kind == "audio" else picture)
        if line.kind == "video":
            assert all(each.rtx_payload_type for each in line.formats)
        if not line.receives:
            assert TRANSPORT_CC_URI in line.extensions
            assert MID_URI in line.extensions
            assert len(line.ssrcs) == (1 if line.kind == "audio" else 2)
    assert [media.rtp.muxId for media in SessionDescription.parse(answered).media] == [line.mid for line in offer.lines]
    for section in sections(answered):
        assert not section.startswith("m=video 0 ")
        if section.startswith("m=video"):
            assert "ccm fir" in section
            assert "nack pli" in section


def test_of_safaris_h264_profiles_the_constrained_baseline_is_taken():
    camera = parse_offer(SAFARI).lines[1]
    (h264,) = [each for each in camera.formats if each.codec == "h264"]
    assert "42e01f" in h264.parameters
    assert "packetization-mode=1" in h264.parameters


def test_publishers_are_asked_for_sound_that_is_silent_in_silence_and_fits_a_thin_link():
    _, _, text = answer()
    microphone, _, _, slot_sound, *_ = sections(text)
    assert re.search(r"a=fmtp:111 .*usedtx=1", microphone)
    assert re.search(r"a=fmtp:111 .*useinbandfec=1", microphone)
    assert "maxaveragebitrate=24000" in microphone
    assert "usedtx" not in slot_sound


@pytest.mark.parametrize("browser", [CHROMIUM, FIREFOX, SAFARI], ids=["Chromium", "Firefox", "Safari"])
def test_the_answer_mirrors_the_offer_line_by_line(browser):
    _, _, text = answer(browser)
    offered, answered = sections(browser), sections(text)
    assert len(offered) == len(answered)
    mirror = {"sendonly": "recvonly", "recvonly": "sendonly"}
    for theirs, ours in zip(offered, answered, strict=True):
        direction = re.search(r"(?m)^a=(sendonly|recvonly)\r?$", theirs)[1]
        assert f"a={mirror[direction]}\r\n" in ours
        assert re.search(r"(?m)^a=mid:.*$", theirs)[0] == re.search(r"(?m)^a=mid:.*$", ours)[0]
        assert "a=setup:passive\r\n" in ours
        assert set(re.search(r"m=\S+ \S+ \S+ (.*)\r", ours)[1].split()) < set(
            re.search(r"m=\S+ \S+ \S+ (.*)\r", theirs)[1].split()
        )


def test_the_answer_is_understood_by_an_independent_parser():
    offer, sending, text = answer()
    parsed = SessionDescription.parse(text)
    assert [media.rtp.muxId for media in parsed.media] == [line.mid for line in offer.lines]
    assert [(c.ip, c.port) for c in parsed.media[0].ice_candidates] == list(ENDPOINT.candidates)
    priorities = [candidate.priority for candidate in parsed.media[0].ice_candidates]
    assert priorities == sorted(priorities, reverse=True)
    for media in parsed.media:
        assert media.ice.usernameFragment == ENDPOINT.ufrag
        assert media.dtls.fingerprints[0].value == ENDPOINT.fingerprint
        if media.rtp.muxId in sending and media.kind == "video":
            ours = sending[media.rtp.muxId]
            assert [each.ssrc for each in media.ssrc] == [ours.ssrc, ours.rtx_ssrc]


def test_each_slot_is_one_stream_of_one_audio_and_one_video():
    _, _, text = answer()
    msids = re.findall(r"a=msid:(\S+) (\S+)", text)
    assert msids == [(f"slot{n}", f"slot{n}-{kind}") for n in range(4) for kind in ("audio", "video")]
    ssrcs = re.findall(r"a=ssrc:(\d+) ", text)
    assert len(set(ssrcs)) == len(ssrcs) == 4 * 3


def test_publishers_number_for_feedback_and_receivers_get_times_of_sending():
    _, _, text = answer()
    microphone, camera, _, _, slot_video, *_ = sections(text)
    assert "transport-wide-cc" in camera
    assert "abs-send-time" not in camera
    assert "x-google-start-bitrate=1500" in camera
    assert "transport-wide-cc" in microphone
    assert "abs-send-time" in slot_video
    assert "transport-wide-cc" not in slot_video
    assert "x-google" not in slot_video
    assert "goog-remb" in slot_video


def test_a_line_without_a_codec_of_ours_is_refused_and_leaves_the_bundle():
    audio, camera, *rest = sections(CHROMIUM)
    session = CHROMIUM[: CHROMIUM.index("m=")]
    foreign = re.sub(r"VP8|H264", "AV9", camera)
    _, _, text = answer(session + audio + foreign + "".join(rest))
    assert sections(text)[1].startswith("m=video 0 ")
    assert re.search(r"a=group:BUNDLE (.*)\r", text)[1].split() == [str(n) for n in range(11) if n != 1]


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        pytest.param("v=0", "w=0", "v=0", id="no SDP"),
        pytest.param("a=setup:actpass", "a=setup:passive", "setup", id="wants us to call"),
        pytest.param("a=rtcp-mux", "a=nothing", "rtcp-mux", id="RTCP apart"),
        pytest.param("a=sendonly", "a=sendrecv", "neither sendonly nor recvonly", id="both ways"),
        pytest.param("a=group:BUNDLE 0 1", "a=group:BUNDLE 0", "bundle", id="a line outside the bundle"),
        pytest.param("a=group:BUNDLE", "a=group:LS", "BUNDLE", id="no bundle"),
        pytest.param("a=fingerprint:sha-256", "a=fingerprint:md5", "fingerprint", id="weak fingerprint"),
        pytest.param("a=fingerprint:sha-256 ", "a=fingerprint:sha-256 ZZ:", "fingerprint", id="malformed fingerprint"),
        pytest.param("a=mid:1\r", "a=mid:0\r", "mid", id="mid twice"),
        pytest.param(
            "m=video 9 UDP/TLS/RTP/SAVPF", "m=application 9 UDP/TLS/RTP/SAVPF", "neither audio", id="data channel"
        ),
        pytest.param("m=video 9 UDP/TLS/RTP/SAVPF", "m=video 9 RTP/AVP", "SAVPF", id="not encrypted"),
        pytest.param(
            "a=ice-ufrag:", "a=ice-ufrag:\u00e9\u00e9\u00e9\u00e9", "ICE", id="foreign letters in credentials"
        ),
        pytest.param("a=ice-pwd:", "a=nothing:", "ICE", id="no ICE password"),
        pytest.param("a=ssrc:", "a=ssrc:99999999999", "number", id="SSRC too large"),
        pytest.param("s=-", "s=-\r\n" + "x" * 65536, "too large", id="too large"),
        pytest.param("s=-", "nonsense", "x=", id="a line that is none"),
    ],
)
def test_an_offer_of_another_shape_is_refused_with_the_rule_it_breaks(old, new, why):
    assert old in CHROMIUM
    with pytest.raises(BadOffer, match=why):
        parse_offer(CHROMIUM.replace(old, new))


def test_a_seventeenth_line_is_refused():
    slots = "".join(
        section.replace("a=mid:3", f"a=mid:{n}").replace("a=mid:4", f"a=mid:{n}")
        for n, section in enumerate(sections(CHROMIUM)[3:5] * 5, start=20)
    )
    with pytest.raises(BadOffer, match="16"):
        parse_offer(CHROMIUM + slots)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_mangled_offer_is_answered_or_refused_but_never_raises_anything_else(data):
    lines = CHROMIUM.split("\r\n")
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(lines) - 1))
        change = data.draw(st.sampled_from(["drop", "double", "cut", "noise"]))
        if change == "drop":
            lines[at : at + 1] = []
            lines = lines or [""]
        elif change == "double":
            lines.insert(at, lines[at])
        elif change == "cut":
            lines[at] = lines[at][: data.draw(st.integers(0, len(lines[at])))]
        else:
            lines[at] = lines[at][:4] + data.draw(st.text(max_size=30))
    try:
        offer = parse_offer("\r\n".join(lines))
    except BadOffer:
        return
    render_answer(offer, assign_sending(offer), ENDPOINT)
