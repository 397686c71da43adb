import assert from "node:assert/strict";
import { test } from "node:test";

import { pairs } from "../../static/pages/call-figures.js";

/** Words that say their key and values. */
const say = (key, values = {}) => [key, ...Object.values(values)].join(" ");
const SAID = {
  up: { bits_per_second: 812_345, loss: 0.002, jitter_ms: 3.4 },
  down: { bits_per_second: 48_000, loss: 0.09, jitter_ms: 22.6 },
  round_trip_ms: 81.4,
  rung: "no_picture",
};

test("of everybody the relay's figures are told, of others also what comes here", () => {
  const seen = { freezes: 2, concealed: 0.0042, width: 640, height: 360 };
  assert.deepEqual(pairs(SAID, seen, say), [
    ["figures.rung", "figures.rung.no_picture"],
    ["figures.up", "figures.way 0.81 0.2 3"],
    ["figures.down", "figures.way 0.05 9.0 23"],
    ["figures.trip", "figures.ms 81"],
    ["figures.picture", "figures.stood figures.size 640 360 2"],
    ["figures.sound", "figures.concealed 0.4"],
  ]);
});

test("what is not known is said so, and of oneself nothing comes", () => {
  const told = pairs({ ...SAID, round_trip_ms: null }, null, say);
  assert.deepEqual(told.at(-1), ["figures.trip", "figures.unknown"]);
  const nothing = pairs(SAID, { freezes: 0, concealed: 0, width: null, height: null }, say);
  assert.deepEqual(nothing.at(-2), ["figures.picture", "figures.stood figures.none 0"]);
});
