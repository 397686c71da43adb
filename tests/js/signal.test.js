import assert from "node:assert/strict";
import { test } from "node:test";

import { linkOf, signalOf } from "../../static/js/signal.js";

for (const [link, bars, strength] of [
  [{}, 4, "good"],
  [{ loss: 0.03 }, 3, "fair"],
  [{ loss: 0.06 }, 2, "weak"],
  [{ loss: 0.5 }, 1, "poor"],
  [{ round_trip_ms: 600 }, 2, "weak"],
  [{ jitter_ms: 45, concealed: 0.06 }, 2, "weak"],
  [{ rung: "smaller" }, 3, "fair"],
  [{ rung: "no_picture" }, 2, "weak"],
  [{ rung: "sound_only" }, 1, "poor"],
  [{ rung: "ring" }, 0, "none"],
  [{ rung: "ring", loss: 0.9 }, 0, "none"],
  [{ rung: "something new" }, 4, "good"],
]) {
  test(`${JSON.stringify(link)} shows ${bars} bars`, () => assert.deepEqual(signalOf(link), { bars, strength }));
}

test("of both ways the worse counts", () => {
  const said = { up: { loss: 0.2, jitter_ms: 1 }, down: { loss: 0, jitter_ms: 9 }, round_trip_ms: 30, rung: "full" };
  assert.deepEqual(linkOf(said), { rung: "full", loss: 0.2, jitter_ms: 9, round_trip_ms: 30 });
});
