import assert from "node:assert/strict";
import { test } from "node:test";

import { read, sample, sampleSlots } from "../../static/js/figures.js";

const REPORT = [
  { type: "transport", packetsReceived: 900 },
  { type: "media-source", kind: "audio", audioLevel: 0.3 },
  { type: "candidate-pair", nominated: true, currentRoundTripTime: 0.048 },
  { type: "candidate-pair", nominated: false, currentRoundTripTime: 9 },
  { type: "remote-inbound-rtp", kind: "video", fractionLost: 0.04 },
  { type: "inbound-rtp", kind: "audio", mid: "5", audioLevel: 0.2, packetsReceived: 50, packetsLost: -1, totalSamplesReceived: 48000, concealedSamples: 960, silentConcealedSamples: 480 },
  { type: "inbound-rtp", kind: "video", mid: "6", framesDecoded: 30, packetsReceived: 50, packetsLost: 2, freezeCount: 3, frameWidth: 1280, frameHeight: 720, framesPerSecond: 30 },
  { type: "inbound-rtp", kind: "video", mid: "4", framesDecoded: 7, packetsReceived: 10, packetsLost: 0, frameWidth: 320, frameHeight: 180, framesPerSecond: 15 },
];

test("levels, frames and sounds are read by slot, whatever their order", () => {
  const look = read(REPORT, ["3", "4", "5", "6"]);
  assert.equal(look.packets, 900);
  assert.equal(look.local, 0.3);
  assert.deepEqual(look.remote, [0, 0.2]);
  assert.deepEqual(look.sounds, [0, 50]);
  assert.deepEqual(look.frames, [7, 30]);
});

test("sound made up for silence does not count as a fault", () => {
  const { counts } = read(REPORT, ["3", "4", "5", "6"]);
  assert.equal(counts.concealed, 480);
  assert.deepEqual([counts.width, counts.height], [1280, 720]);
  assert.equal(counts.roundTripMs, 48);
});

test("a sample is what happened since the last look", () => {
  const before = { freezes: 3, samples: 48_000, concealed: 480, lost: 2, received: 100, width: 1280, height: 720, roundTripMs: 48, upLoss: 0 };
  const now = { freezes: 4, samples: 288_000, concealed: 2880, lost: 12, received: 190, width: 640, height: 360, roundTripMs: null, upLoss: 0.02 };
  assert.deepEqual(sample(before, now), { freezes: 1, concealed: 0.01, width: 640, height: 360, round_trip_ms: null, loss: 0.1 });
});

test("nothing received is no loss and no picture", () => {
  const nothing = { freezes: 0, samples: 0, concealed: 0, lost: 0, received: 0, width: 0, height: 0, roundTripMs: null, upLoss: 0 };
  assert.deepEqual(sample(nothing, nothing), { freezes: 0, concealed: 0, width: null, height: null, round_trip_ms: null, loss: 0 });
});

test("each slot has figures of its own", () => {
  const { counts } = read(REPORT, ["3", "4", "5", "6"]);
  assert.deepEqual(counts.slots, [
    { freezes: 0, samples: 0, concealed: 0, width: 320, height: 180 },
    { freezes: 3, samples: 48000, concealed: 480, width: 1280, height: 720 },
  ]);
  const later = { ...counts, slots: [counts.slots[0], { freezes: 5, samples: 96000, concealed: 960, width: 640, height: 360 }] };
  assert.deepEqual(sampleSlots(counts, later), [
    { freezes: 0, concealed: 0, width: 320, height: 180 },
    { freezes: 2, concealed: 0.01, width: 640, height: 360 },
  ]);
});
