import assert from "node:assert/strict";
import { test } from "node:test";

import { arrange, follow, nobody } from "../../static/js/layout.js";

const face = (participant, slot, more = {}) => ({ participant, slot, screen: false, signs: false, rank: slot, ...more });
const OFFICER = face("officer", 0);
const GUARDIAN = face("guardian", 1);
const INTERPRETER = face("interpreter", 2, { signs: true });
const SCREEN = face("officer", 3, { screen: true });

/** Follow levels that stay for a while, looked at four times a second. */
function hear(floor, seen, levels, fromMs, forMs) {
  for (let now = fromMs; now <= fromMs + forMs; now += 250) floor = follow(floor, seen, levels, now);
  return floor;
}

test("before anybody has spoken the first by rank is large", () => {
  const floor = follow(nobody(), [GUARDIAN, { ...OFFICER, rank: -1 }], [0, 0], 1000);
  assert.equal(floor.speaker, "officer");
});

test("who speaks for a while becomes large, a cough does not", () => {
  const seen = [OFFICER, GUARDIAN];
  let floor = hear(nobody(), seen, [0, 0], 0, 5000);
  floor = hear(floor, seen, [0, 0.3], 5250, 250);
  assert.equal(hear(floor, seen, [0, 0], 5750, 2000).speaker, "officer");
  assert.equal(hear(floor, seen, [0, 0.3], 5750, 2000).speaker, "guardian");
});

test("two who talk at once do not make the picture jump", () => {
  const seen = [OFFICER, GUARDIAN];
  const floor = hear(nobody(), seen, [0.2, 0], 0, 5000);
  assert.equal(hear(floor, seen, [0.2, 0.9], 5250, 10_000).speaker, "officer");
});

test("a signing interpreter is large whoever speaks, and takes nobody's place", () => {
  const seen = [OFFICER, GUARDIAN, INTERPRETER];
  const floor = hear(nobody(), seen, [0, 0.3, 0.9], 0, 9000);
  assert.equal(floor.speaker, "guardian");
  assert.deepEqual(arrange(floor, seen), { large: [1, 2], small: [0] });
});

test("a shared screen comes before faces, not before hands", () => {
  const seen = [OFFICER, GUARDIAN, INTERPRETER, SCREEN];
  assert.deepEqual(arrange(follow(nobody(), seen, [], 0), seen), { large: [2, 3], small: [0, 1] });
});

test("when the large one leaves somebody else is shown at once", () => {
  const floor = hear(nobody(), [OFFICER, GUARDIAN], [0.3, 0], 0, 3000);
  assert.equal(follow(floor, [GUARDIAN], [0, 0], 3100).speaker, "guardian");
});

test("an interpreter alone is large, once", () => {
  assert.deepEqual(arrange(follow(nobody(), [INTERPRETER], [], 0), [INTERPRETER]), { large: [2], small: [] });
});

test("nobody there, nothing shown", () => {
  assert.deepEqual(arrange(follow(nobody(), [], [], 0), []), { large: [], small: [] });
});
