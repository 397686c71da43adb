import assert from "node:assert/strict";
import { test } from "node:test";

import { gapWords, headline, lastGap } from "../../static/pages/booth-room.js";

const words = { say: (key, values = {}) => [key, ...Object.values(values)].join(" "), clock: (iso) => iso?.slice(11, 16) ?? "", words: {} };
const AT = "2026-03-02T10:05:00Z";
const PERSON = { id: "p", state: "admitted", connected: true, silent_since: null, left_how: null, left_at: null, seen_at: null, word: "right", since: AT };
const room = (person = {}, gaps = []) => ({ waiting: [{ ...PERSON, ...person }], admitted: "p", alerts: [], ended: null, gaps });
const know = { words, name: "Jo", now: Date.parse(AT) + 8000, onCamera: true, flows: true };
const gap = (why, ended_at = null) => ({ participant: "p", began_at: AT, ended_at, why });

test("connected and seen is good", () => {
  assert.deepEqual(headline(room(), know), { tone: "good", text: "connected Jo", more: "callFlows" });
});

test("nobody is said to be seen and heard while a camera, a microphone or the pictures are off on either side", () => {
  for (const off of ["muted", "camera_off", "audio_only"]) {
    const sending = { p: { muted: false, camera_off: false, audio_only: false, [off]: true } };
    assert.equal(headline({ ...room(), sending }, know).more, "callFlowsPartly");
  }
  assert.equal(headline(room(), { ...know, partly: true }).more, "callFlowsPartly");
});

test("a paused call says so, and nothing of seeing and hearing", () => {
  assert.deepEqual(headline({ ...room(), held: true }, know), { tone: "warn", text: "connected Jo", more: "held" });
});

test("silence is told with the seconds since", () => {
  assert.deepEqual(headline(room({ silent_since: AT }), know), { tone: "warn", text: "lost Jo", more: "comesBack 8" });
});

test("a microphone that somebody else has is told with its reason, while the page is connected", () => {
  const said = headline(room({}, [gap("interrupted")]), know);
  assert.deepEqual(said, { tone: "warn", text: "interruptedHead Jo", more: "gapNow 10:05 why.interrupted" });
  assert.equal(headline(room({}, [gap("interrupted", AT)]), know).tone, "good");
});

test("a weak link is told on the rung it stands", () => {
  assert.equal(headline(room(), { ...know, rung: "sound_only" }).more, "rung.sound_only Jo");
  assert.equal(headline(room(), { ...know, rung: "smaller" }).tone, "good");
});

test("a gap that is over is told with how long it was", () => {
  assert.equal(gapWords(gap("asleep", "2026-03-02T10:05:12Z"), words), "gapBefore 10:05 why.asleep 12");
});

test("of several gaps the open one is told, then the last; that it had come to ringing is no reason of its own", () => {
  const asleep = gap("asleep", AT);
  assert.equal(lastGap(room({}, [asleep, gap("ring", AT)]), "p"), asleep);
  const ringing = gap("ring");
  assert.equal(lastGap(room({}, [ringing, asleep]), "p"), ringing);
  assert.equal(lastGap(room({}, [gap("held")]), "p"), undefined);
});
