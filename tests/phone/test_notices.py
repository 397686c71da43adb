"""Which sentence the call's page says when several things are wrong at once."""

import pytest

CALM = {
    "brokenSince": 0,
    "downSince": 0,
    "isCrowded": False,
    "officerSince": 0,
    "officerPresent": True,
    "mendedAt": 0,
    "inCall": True,
    "isMuted": False,
    "hasMet": True,
    "deviceLost": False,
    "rung": "full",
    "climbedAt": 0,
    "isInterrupted": False,
    "cameraTaken": False,
    "soundOnly": False,
    "isSharing": False,
    "news": "",
    "newsAt": 0,
}
NOTICES = [
    *("lost", "lost_long", "ring", "officer_lost", "officer_gone", "device_lost", "connecting", "back"),
    *("you_are_muted", "you_have_sound_only", "you_share", "interrupted", "camera_taken"),
    *("rung_no_picture", "rung_sound_only", "rung_ring", "rung_up", "crowded"),
]


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        pytest.param({}, "", id="all is well"),
        pytest.param({"brokenSince": 99_000}, "", id="a flicker"),
        pytest.param({"brokenSince": 95_000}, "lost", id="our connection"),
        pytest.param({"brokenSince": 70_000}, "lost_long ring", id="our connection for long"),
        pytest.param({"downSince": 70_000}, "", id="only the line to the server, while the picture flows"),
        pytest.param({"downSince": 70_000, "inCall": False}, "lost_long ring", id="the line, while waiting"),
        pytest.param({"downSince": 99_900, "isCrowded": True}, "crowded ring", id="opened too often"),
        pytest.param({"officerSince": 95_000}, "officer_lost", id="the officer's picture"),
        pytest.param({"officerSince": 70_000, "officerPresent": False}, "officer_gone ring", id="the officer is away"),
        pytest.param({"officerSince": 70_000, "brokenSince": 95_000}, "lost", id="ours before theirs"),
        pytest.param({"hasMet": False}, "connecting", id="nothing has arrived yet"),
        pytest.param({"mendedAt": 98_000}, "back", id="just mended"),
        pytest.param({"isMuted": True}, "you_are_muted", id="muted"),
        pytest.param({"isMuted": True, "deviceLost": True}, "device_lost", id="camera taken away"),
        pytest.param({"rung": "smaller"}, "", id="a smaller picture disturbs nobody"),
        pytest.param({"rung": "no_picture"}, "rung_no_picture", id="a link too weak to be sent a picture"),
        pytest.param({"rung": "sound_only"}, "rung_sound_only", id="a link that carries only sound"),
        pytest.param({"rung": "ring", "deviceLost": True}, "rung_ring", id="not even sound"),
        pytest.param({"rung": "ring", "brokenSince": 95_000}, "lost", id="broken comes before weak"),
        pytest.param({"climbedAt": 98_000}, "rung_up", id="the picture is back"),
        pytest.param({"isInterrupted": True, "isMuted": True}, "interrupted", id="a phone call has the microphone"),
        pytest.param({"cameraTaken": True, "isMuted": True}, "you_are_muted camera_taken", id="two things at once"),
        pytest.param({"soundOnly": True, "rung": "sound_only"}, "you_have_sound_only", id="sound only by wish"),
        pytest.param({"isSharing": True}, "you_share", id="showing photos"),
        pytest.param(
            {"isSharing": True, "soundOnly": True}, "you_have_sound_only", id="nothing is shown by sound alone"
        ),
        pytest.param(
            {"isSharing": True, "rung": "sound_only"}, "rung_sound_only", id="nor over a link that is too weak"
        ),
        pytest.param({"news": "came", "newsAt": 98_000, "isMuted": True}, "came", id="a headset came"),
        pytest.param({"news": "came", "newsAt": 80_000}, "", id="a headset came long ago"),
    ],
)
async def test_the_sentence_that_matters_most_is_said(phone, trouble, said):
    handset = await phone()
    await handset.go("/j/anything")
    words = {name: name for name in NOTICES}
    answer = await handset.page.evaluate(
        """async ([trouble, words]) => {
            const { notice } = await import("/static/now/pages/phone_notices.js");
            return notice(trouble, 100_000, words);
        }""",
        [CALM | trouble, words],
    )
    assert answer == said
