import assert from "node:assert/strict";
import { test } from "node:test";

import { shape } from "../../static/pages/call-graph.js";

test("the newest point stands at the right, the oldest of five minutes at the left", () => {
  const { line } = shape(Array.from({ length: 60 }, (_, n) => ({ bits: n === 59 ? 1_000_000 : 0, loss: 0 })));
  const points = line.split(" ");
  assert.equal(points[0], "0,60");
  assert.equal(points.at(-1), "300,0");
});

test("a quiet link is not drawn as a full one, and loss stands as bars", () => {
  const { line, losses, topBits } = shape([{ bits: 50_000, loss: 0.1 }, { bits: 50_000, loss: 0.001 }]);
  assert.equal(topBits, 500_000);
  assert.match(line, /,54 .*,54$/);
  assert.deepEqual(losses.map((one) => one.height), [30]);
});
