import assert from "node:assert/strict";
import { test } from "node:test";

import { Breaks } from "../../static/js/breaks.js";

function line() {
  return { connected: true, said: [], send(message) { this.said.push(message); } };
}

test("a break is told once, with how long ago it began and how long it lasted", () => {
  const socket = line();
  const breaks = new Breaks(socket);
  assert.equal(breaks.begin("silent", 1000), true);
  assert.equal(breaks.begin("silent", 1500), false);
  assert.equal(breaks.end(4000), true);
  assert.equal(breaks.end(5000), false);
  assert.deepEqual(socket.said, [{ type: "broke", why: "silent", ago_ms: 3000, lasted_ms: 3000 }]);
});

test("silence takes the reason that becomes known later, a known reason stays", () => {
  const breaks = new Breaks(line());
  breaks.begin("silent", 1000);
  breaks.begin("offline", 1100);
  breaks.begin("network_changed", 1200);
  assert.equal(breaks.why, "offline");
});

test("what cannot be told now is told when the line is back, and then no more", () => {
  const socket = line();
  socket.connected = false;
  const breaks = new Breaks(socket);
  breaks.begin("offline", 1000);
  breaks.end(3000);
  assert.deepEqual(socket.said, []);
  socket.connected = true;
  breaks.say(9000);
  breaks.say(9500);
  assert.deepEqual(socket.said, [{ type: "broke", why: "offline", ago_ms: 8000, lasted_ms: 2000 }]);
});
