import assert from "node:assert/strict";
import { test } from "node:test";

import { calm, notice } from "../../static/pages/phone_notices.js";

const NOW = 100_000;
const words = new Proxy({}, { get: (_, name) => name }); // each sentence is its own name

for (const [trouble, said, what] of [
  [{}, "", "all is well"],
  [{ brokenSince: 99_000 }, "", "a flicker"],
  [{ brokenSince: 95_000 }, "lost", "our connection"],
  [{ brokenSince: 70_000 }, "lost_long ring", "our connection for long"],
  [{ downSince: 70_000 }, "", "only the line to the server, while the picture flows"],
  [{ downSince: 70_000, inCall: false }, "lost_long ring", "the line, while waiting"],
  [{ downSince: 99_900, isCrowded: true }, "crowded ring", "opened too often"],
  [{ officerSince: 95_000 }, "officer_lost", "the officer's picture"],
  [{ officerSince: 70_000, officerPresent: false }, "officer_gone ring", "the officer is away"],
  [{ officerSince: 70_000, brokenSince: 95_000 }, "lost", "ours before theirs"],
  [{ hasMet: false }, "connecting", "nothing has arrived yet"],
  [{ mendedAt: 98_000 }, "back", "just mended"],
  [{ isMuted: true }, "you_are_muted", "muted"],
  [{ isMuted: true, deviceLost: true }, "device_lost", "camera taken away"],
  [{ rung: "smaller" }, "", "a smaller picture disturbs nobody"],
  [{ rung: "no_picture" }, "rung_no_picture", "a link too weak to be sent a picture"],
  [{ rung: "sound_only" }, "rung_sound_only", "a link that carries only sound"],
  [{ rung: "ring", deviceLost: true }, "rung_ring", "not even sound"],
  [{ rung: "ring", brokenSince: 95_000 }, "lost", "broken comes before weak"],
  [{ climbedAt: 98_000 }, "rung_up", "the picture is back"],
  [{ isInterrupted: true, isMuted: true }, "interrupted", "a phone call has the microphone"],
  [{ cameraTaken: true, isMuted: true }, "you_are_muted camera_taken", "two things at once"],
  [{ soundOnly: true, rung: "sound_only" }, "you_have_sound_only", "sound only by wish"],
  [{ isSharing: true }, "you_share", "showing photos"],
  [{ isSharing: true, soundOnly: true }, "you_have_sound_only", "nothing is shown by sound alone"],
  [{ isSharing: true, rung: "sound_only" }, "rung_sound_only", "nor over a link that is too weak"],
  [{ news: "came", newsAt: 98_000, isMuted: true }, "came", "a headset came"],
  [{ news: "came", newsAt: 80_000 }, "", "a headset came long ago"],
]) {
  test(`the sentence that matters most is said: ${what}`, () => {
    assert.equal(notice({ ...calm(), inCall: true, hasMet: true, ...trouble }, NOW, words), said);
  });
}
