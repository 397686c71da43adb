"""Read a browser's offer and write our answer (RFC 8866, RFC 9429); pure, no sockets.

One offer shape is served: one bundle, RTCP multiplexed, sendonly m-lines first (microphone, camera, then a screen),
then recvonly ones. The k-th recvonly audio and the k-th recvonly video are slot k. Anything else is a BadOffer.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

MAX_SDP_BYTES = 64 * 1024
MAX_LINES = 16
START_BITRATE_KBPS = 1500
"""Without it Chromium starts at 300 kbit/s, which is a picture of 320 pixels for the first seconds."""

OPUS_SENT = "minptime=10;useinbandfec=1"
OPUS_WANTED = f"{OPUS_SENT};usedtx=1;maxaveragebitrate=24000"
"""Speech at its full band, silence at next to nothing: without redundancy 51 kbit/s on the wire, so that it passes a
link of 60; with redundancy 75."""

MID_URI = "urn:ietf:params:rtp-hdrext:sdes:mid"
TRANSPORT_CC_URI = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
ABS_SEND_TIME_URI = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time"
_DIGEST_BYTES = {"sha-256": 32, "sha-384": 48, "sha-512": 64}
_MAX_SSRCS = 8

Kind = Literal["audio", "video"]
Codec = Literal["red", "opus", "vp8", "h264"]

_PREFERENCE: dict[Kind, tuple[Codec, ...]] = {"audio": ("red", "opus"), "video": ("vp8", "h264")}
"""What we answer with, best first: RED carries each audio frame twice, which hides most of 5 % loss."""

_RTPMAP: dict[Codec, str] = {"red": "red/48000/2", "opus": "opus/48000/2", "vp8": "vp8/90000", "h264": "h264/90000"}
CLOCK_RATE: dict[Kind, int] = {"audio": 48000, "video": 90000}
_ICE_CHARS = re.compile(r"[A-Za-z0-9+/]+")
_TOKEN = re.compile(r"[A-Za-z0-9_.+-]{1,32}")


class BadOffer(Exception):
    """The offer is malformed, too large, or of a shape we do not serve; the message names the rule, never content."""


@dataclass(frozen=True, slots=True)
class Format:
    """One payload type we will use: its codec and, if there is one, the payload type of its retransmissions."""

    codec: Codec
    payload_type: int
    rtx_payload_type: int | None
    parameters: str


@dataclass(frozen=True, slots=True)
class Line:
    """One m-line of the offer, reduced to what we use.

    receives    the browser receives here: it is one half of a slot
    formats     best first; empty means that the line is refused
    extensions  URI -> id, of those we use
    ssrcs       announced SSRCs, media and retransmission, in the order they stand
    rtx_of      retransmission SSRC -> media SSRC
    """

    kind: Kind
    mid: str
    receives: bool
    formats: tuple[Format, ...]
    extensions: Mapping[str, int]
    ssrcs: tuple[int, ...]
    rtx_of: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class Offer:
    """A checked offer."""

    ufrag: str
    password: str
    fingerprints: tuple[tuple[str, str], ...]
    lines: tuple[Line, ...]

    @property
    def slots(self) -> int:
        """Return how many others this participant can receive."""
        return sum(line.receives and line.kind == "video" for line in self.lines)


@dataclass(slots=True)
class _Section:
    """The lines of one m-section as they are read."""

    kind: str
    payload_types: list[str]
    attributes: dict[str, list[str]] = field(default_factory=dict)

    def first(self, name: str) -> str | None:
        values = self.attributes.get(name)
        return values[0] if values else None


def parse_offer(text: str) -> Offer:
    """Return the offer. Raises BadOffer."""
    if len(text.encode("utf-8", "surrogatepass")) > MAX_SDP_BYTES:
        raise BadOffer("too large")
    session, sections = _split(text)
    if not sections:
        raise BadOffer("no m-lines")
    lines = tuple(_parse_line(section) for section in sections)
    if len({line.mid for line in lines}) != len(lines):
        raise BadOffer("mid repeated")
    sending = [line for line in lines if not line.receives]
    if sum(line.kind == "audio" for line in sending) > 1 or sum(line.kind == "video" for line in sending) > 2:
        raise BadOffer("more than one microphone, camera and screen")
    if sum(r.receives and r.kind == "audio" for r in lines) != sum(r.receives and r.kind == "video" for r in lines):
        raise BadOffer("recvonly audio and video do not pair up")
    _check_bundle(session, lines)
    first = sections[0]
    ufrag = first.first("ice-ufrag") or session.first("ice-ufrag") or ""
    password = first.first("ice-pwd") or session.first("ice-pwd") or ""
    if not (4 <= len(ufrag) <= 256 and 22 <= len(password) <= 256):
        raise BadOffer("ICE credentials missing or of a wrong length")
    if not (_ICE_CHARS.fullmatch(ufrag) and _ICE_CHARS.fullmatch(password)):
        raise BadOffer("ICE credentials hold other characters than RFC 8839 allows")
    if (first.first("setup") or session.first("setup")) not in {"actpass", "active"}:
        raise BadOffer("setup must be actpass or active")
    prints = first.attributes.get("fingerprint") or session.attributes.get("fingerprint") or []
    return Offer(ufrag, password, _parse_fingerprints(prints), lines)


def _split(text: str) -> tuple[_Section, list[_Section]]:
    """Return the session part and the m-sections."""
    session = _Section("session", [])
    sections: list[_Section] = []
    if not text.startswith("v=0"):
        raise BadOffer("does not begin with v=0")
    for raw in text.splitlines():
        if not raw:
            continue
        if len(raw) < 2 or raw[1] != "=":
            raise BadOffer("a line is not of the form x=…")
        kind, value = raw[0], raw[2:]
        if kind == "m":
            fields = value.split()
            if len(fields) < 4 or len(fields) > 68:
                raise BadOffer("an m-line is malformed")
            if len(sections) == MAX_LINES:
                raise BadOffer(f"more than {MAX_LINES} m-lines")
            if fields[2] != "UDP/TLS/RTP/SAVPF":
                raise BadOffer("an m-line is not UDP/TLS/RTP/SAVPF")
            sections.append(_Section(fields[0], fields[3:]))
        elif kind == "a":
            name, _, rest = value.partition(":")
            (sections[-1] if sections else session).attributes.setdefault(name, []).append(rest)
    return session, sections


def _check_bundle(session: _Section, lines: Sequence[Line]) -> None:
    for group in session.attributes.get("group", []):
        words = group.split()
        if words[:1] == ["BUNDLE"]:
            if set(words[1:]) != {line.mid for line in lines}:
                raise BadOffer("the bundle does not hold every m-line")
            return
    raise BadOffer("no BUNDLE group")


def _parse_fingerprints(values: Sequence[str]) -> tuple[tuple[str, str], ...]:
    found = []
    for value in values[:8]:
        algorithm, _, digest = value.partition(" ")
        size = _DIGEST_BYTES.get(algorithm.lower())
        if size is None:
            continue
        if not re.fullmatch(rf"[0-9A-Fa-f]{{2}}(:[0-9A-Fa-f]{{2}}){{{size - 1}}}", digest):
            raise BadOffer("a fingerprint is malformed")
        found.append((algorithm.lower(), digest.upper()))
    if not found:
        raise BadOffer("no fingerprint by sha-256, sha-384 or sha-512")
    return tuple(found)


def _parse_line(section: _Section) -> Line:
    if section.kind not in {"audio", "video"}:
        raise BadOffer("an m-line is neither audio nor video")
    kind: Kind = "audio" if section.kind == "audio" else "video"
    mid = section.first("mid") or ""
    if not _TOKEN.fullmatch(mid):
        raise BadOffer("mid missing or malformed")
    if "rtcp-mux" not in section.attributes:
        raise BadOffer("rtcp-mux missing")
    receives = "recvonly" in section.attributes
    if receives == ("sendonly" in section.attributes):
        raise BadOffer("an m-line is neither sendonly nor recvonly")
    ssrcs: list[int] = []
    for value in section.attributes.get("ssrc", []):
        ssrc = _parse_number(value.split(" ")[0], 0xFFFFFFFF)
        if ssrc not in ssrcs:
            ssrcs.append(ssrc)
    if len(ssrcs) > _MAX_SSRCS:
        raise BadOffer("too many SSRCs on one m-line")
    rtx_of = {}
    for value in section.attributes.get("ssrc-group", []):
        words = value.split()
        if words[0:1] == ["FID"] and len(words) == 3:
            rtx_of[_parse_number(words[2], 0xFFFFFFFF)] = _parse_number(words[1], 0xFFFFFFFF)
    extensions = {}
    for value in section.attributes.get("extmap", []):
        words = value.split()
        if len(words) >= 2 and words[1] in {MID_URI, TRANSPORT_CC_URI, ABS_SEND_TIME_URI}:
            number = _parse_number(words[0].split("/")[0], 255)
            if 1 <= number <= 14:  # we write and read the one-byte form
                extensions[words[1]] = number
    return Line(kind, mid, receives, _parse_formats(kind, section), extensions, tuple(ssrcs), rtx_of)


def _parse_number(text: str, largest: int) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 10 or int(text) > largest:
        raise BadOffer("a number is malformed")
    return int(text)


def _parse_formats(kind: Kind, section: _Section) -> tuple[Format, ...]:
    """Return the payload types we serve, in our order of preference, one for each codec."""
    names: dict[str, str] = {}
    parameters: dict[str, str] = {}
    for source, target in (("rtpmap", names), ("fmtp", parameters)):
        for value in section.attributes.get(source, []):
            payload_type, _, rest = value.partition(" ")
            target.setdefault(payload_type, rest)
    rtx = {
        parameters.get(payload_type, "")[4:]: payload_type
        for payload_type in section.payload_types
        if names.get(payload_type, "").lower() == "rtx/90000" and parameters.get(payload_type, "").startswith("apt=")
    }
    chosen: dict[Codec, Format] = {}
    for payload_type in section.payload_types:
        fmtp = parameters.get(payload_type, "")
        codec = next((c for c in _PREFERENCE[kind] if _RTPMAP[c] == names.get(payload_type, "").lower()), None)
        if codec is None or codec in chosen or (codec == "h264" and not _is_our_h264(fmtp)):
            continue
        number = _parse_number(payload_type, 127)
        again = _parse_number(rtx[payload_type], 127) if payload_type in rtx else None
        chosen[codec] = Format(codec, number, again, fmtp)
    red = chosen.get("red")
    if red and ("opus" not in chosen or set(red.parameters.split("/")) != {str(chosen["opus"].payload_type)}):
        del chosen["red"]
    if "opus" not in chosen and kind == "audio":
        chosen.clear()
    return tuple(chosen[codec] for codec in _PREFERENCE[kind] if codec in chosen)


def _is_our_h264(fmtp: str) -> bool:
    """Constrained baseline with packetization-mode 1 (RFC 6184), which every browser and phone has."""
    values = dict(part.strip().partition("=")[::2] for part in fmtp.split(";"))
    return values.get("packetization-mode") == "1" and values.get("profile-level-id", "").lower().startswith("42e0")


@dataclass(frozen=True, slots=True)
class Sending:
    """The SSRCs we send on one recvonly m-line of the offer."""

    slot: int
    ssrc: int
    rtx_ssrc: int


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where and as whom we answer. `candidates` are (address, port), best first."""

    ufrag: str
    password: str
    fingerprint: str
    candidates: tuple[tuple[str, int], ...]


def render_answer(offer: Offer, sending: Mapping[str, Sending], endpoint: Endpoint, *, version: int = 1) -> str:
    """Return the answer.

    sending   by mid, for every recvonly m-line of the offer
    version   goes up with every answer on the same connection (RFC 8866 section 5.2)
    """
    accepted = [line.mid for line in offer.lines if line.formats]
    out = ["v=0", f"o=- 1 {version} IN IP4 0.0.0.0", "s=-", "t=0 0", "a=group:BUNDLE " + " ".join(accepted)]
    out.append("a=msid-semantic: WMS *")
    for line in offer.lines:
        if line.formats:
            out += _render_line(line, sending.get(line.mid), endpoint, with_candidates=line.mid == accepted[0])
        else:
            out += [f"m={line.kind} 0 UDP/TLS/RTP/SAVPF 0", "c=IN IP4 0.0.0.0", "a=inactive", f"a=mid:{line.mid}"]
    return "\r\n".join(out) + "\r\n"


def _render_line(line: Line, sending: Sending | None, endpoint: Endpoint, *, with_candidates: bool) -> list[str]:
    payload_types: list[int] = []
    for each in line.formats:
        payload_types += (
            [each.payload_type] if each.rtx_payload_type is None else [each.payload_type, each.rtx_payload_type]
        )
    address, port = endpoint.candidates[0]
    out = [
        f"m={line.kind} {port} UDP/TLS/RTP/SAVPF " + " ".join(map(str, payload_types)),
        f"c=IN {'IP6' if ':' in address else 'IP4'} {address}",
        "a=rtcp-mux",
        "a=rtcp-rsize",
        "a=" + ("sendonly" if line.receives else "recvonly"),
        f"a=mid:{line.mid}",
        f"a=ice-ufrag:{endpoint.ufrag}",
        f"a=ice-pwd:{endpoint.password}",
        f"a=fingerprint:sha-256 {endpoint.fingerprint}",
        "a=setup:passive",
    ]
    if with_candidates:
        for index, (host, number) in enumerate(endpoint.candidates):
            priority = 126 << 24 | (65535 - index) << 8 | 255  # RFC 8445 section 5.1.2.1
            out.append(f"a=candidate:{index + 1} 1 udp {priority} {host} {number} typ host")
        out.append("a=end-of-candidates")
    # A publisher numbers its packets for our feedback; towards receivers we stamp ours, so that their estimate (REMB)
    # is of the way from here and not of the publisher's pauses.
    used = {MID_URI, ABS_SEND_TIME_URI} if line.receives else {MID_URI, TRANSPORT_CC_URI}
    out += [f"a=extmap:{number} {uri}" for uri, number in line.extensions.items() if uri in used]
    for each in line.formats:
        out += _render_format(each, receives=line.receives)
    if sending and line.receives:
        name = f"slot{sending.slot}"
        out.append(f"a=msid:{name} {name}-{line.kind}")
        if line.kind == "video":
            out.append(f"a=ssrc-group:FID {sending.ssrc} {sending.rtx_ssrc}")
        for ssrc in (sending.ssrc, sending.rtx_ssrc) if line.kind == "video" else (sending.ssrc,):
            out.append(f"a=ssrc:{ssrc} cname:{name}")
    return out


def _render_format(each: Format, *, receives: bool) -> list[str]:
    number = each.payload_type
    name = {"vp8": "VP8/90000", "h264": "H264/90000"}.get(each.codec, _RTPMAP[each.codec])
    out = [f"a=rtpmap:{number} {name}"]
    if not receives:
        out.append(f"a=rtcp-fb:{number} transport-cc")
    elif each.codec in {"vp8", "h264"}:
        out.append(f"a=rtcp-fb:{number} goog-remb")
    parameters = each.parameters
    if each.codec == "opus":
        parameters = OPUS_SENT if receives else OPUS_WANTED
    elif each.codec in {"vp8", "h264"}:
        out += [f"a=rtcp-fb:{number} ccm fir", f"a=rtcp-fb:{number} nack", f"a=rtcp-fb:{number} nack pli"]
        if not receives:
            start = f"x-google-start-bitrate={START_BITRATE_KBPS}"
            parameters = f"{parameters};{start}" if parameters else start
    if parameters:
        out.append(f"a=fmtp:{number} {parameters}")
    if each.rtx_payload_type is not None:
        out += [f"a=rtpmap:{each.rtx_payload_type} rtx/90000", f"a=fmtp:{each.rtx_payload_type} apt={number}"]
    return out
