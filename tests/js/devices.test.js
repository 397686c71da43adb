import assert from "node:assert/strict";
import { test } from "node:test";

import { difference } from "../../static/js/devices.js";

const MIC = { kind: "audioinput", id: "m1", label: "Built-in microphone" };
const HEADSET = { kind: "audioinput", id: "h1", label: "Headset" };
const EARS = { kind: "audiooutput", id: "h2", label: "Headset" };
const CAMERA = { kind: "videoinput", id: "c1", label: "Camera" };
const ALIAS = { kind: "audioinput", id: "default", label: "Default" };

test("a headset that comes and goes is named with both its ends", () => {
  assert.deepEqual(difference([MIC], [MIC, HEADSET, EARS, ALIAS]), { came: [HEADSET, EARS], gone: [] });
  assert.deepEqual(difference([MIC, HEADSET, EARS, ALIAS], [MIC]), { came: [], gone: [HEADSET, EARS] });
});

test("devices that only got their names are no news, and cameras are not about sound", () => {
  const unnamed = { kind: "audioinput", id: "", label: "" };
  assert.deepEqual(difference([unnamed], [MIC, CAMERA]), { came: [], gone: [] });
  assert.deepEqual(difference([MIC], [MIC, CAMERA]), { came: [], gone: [] });
});
