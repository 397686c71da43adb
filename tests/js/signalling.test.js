import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";

import { RoomSocket } from "../../static/js/signalling.js";

/** A line that the test opens, cuts or leaves deaf. */
class Line extends EventTarget {
  static OPEN = 1;
  static all = [];
  constructor() {
    super();
    this.readyState = 0;
    this.sent = [];
    Line.all.push(this);
  }
  send(text) {
    this.sent.push(JSON.parse(text));
  }
  close() {
    this.readyState = 3;
  }
  open() {
    this.readyState = 1;
    this.onopen();
  }
  cut(code = 1006) {
    this.readyState = 3;
    this.onclose({ code });
  }
}

const real = { WebSocket: globalThis.WebSocket, fetch: globalThis.fetch };
let answers = [];
let asked = 0;

beforeEach(() => {
  mock.timers.enable({ apis: ["setTimeout", "setInterval", "Date"] });
  Line.all = [];
  [answers, asked] = [[], 0];
  globalThis.WebSocket = Line;
  globalThis.location = { protocol: "https:", host: "example.org" };
  globalThis.addEventListener ??= () => {};
  globalThis.removeEventListener ??= () => {};
  globalThis.fetch = async (_url, { signal }) => {
    asked += 1;
    const status = answers.length > 1 ? answers.shift() : answers[0];
    if (status === "never") return new Promise((_, reject) => signal.addEventListener("abort", () => reject(new Error("aborted"))));
    if (status === undefined) throw new Error("no network");
    return { status };
  };
});

afterEach(() => {
  mock.timers.reset();
  Object.assign(globalThis, real);
});

/** Let promises settle that no timer holds. */
async function settle() {
  for (let n = 0; n < 10; n++) await Promise.resolve();
}

/** Let time go by, step by step, so that what follows a timer may set another. */
async function pass(ms, step = 50) {
  for (let gone = 0; gone < ms; gone += step) {
    mock.timers.tick(step);
    await settle();
  }
}

function opened() {
  const socket = new RoomSocket("/socket");
  const heard = [];
  for (const name of ["up", "down", "closed"]) socket.addEventListener(name, () => heard.push(name));
  socket.open();
  Line.all[0].open();
  return { socket, heard };
}

test("a line that breaks comes back at once while the server is there", async () => {
  answers = [426];
  const { socket, heard } = opened();
  Line.all[0].cut();
  await settle();
  assert.equal(Line.all.length, 2);
  Line.all[1].open();
  assert.deepEqual(heard, ["up", "down", "up"]);
  socket.close();
});

test("while the server is gone it is asked again and again, more and more seldom, never slower than every few seconds", async () => {
  const { socket } = opened();
  Line.all[0].cut();
  await pass(1000);
  const first = asked;
  assert.ok(first >= 3 && first <= 15, `${first} in the first second`);
  await pass(60_000);
  const then = asked;
  await pass(30_000);
  assert.ok(asked - then >= 9 && asked - then <= 31, `${asked - then} in half a minute`);
  assert.equal(Line.all.length, 1);
  answers = [426];
  await pass(4000);
  assert.equal(Line.all.length, 2);
  socket.close();
});

test("a question that is never answered is given up, and asked again", async () => {
  answers = ["never"];
  const { socket } = opened();
  Line.all[0].cut();
  await pass(20_000);
  assert.ok(asked >= 3);
  socket.close();
});

test("after a change of networks a question that hangs is asked again at once", async () => {
  answers = ["never", 426];
  const { socket } = opened();
  Line.all[0].cut();
  await pass(1000);
  assert.equal(asked, 1);
  socket.checkNow();
  await pass(500);
  assert.equal(asked, 2);
  assert.equal(Line.all.length, 2);
  socket.close();
});

test("a line that never opens is given up", async () => {
  answers = [426];
  const { socket } = opened();
  Line.all[0].cut();
  await settle();
  await pass(6000);
  assert.equal(Line.all.length, 3);
  socket.close();
});

test("after a change of networks a deaf line is given up within two seconds", async () => {
  answers = [426];
  const { socket, heard } = opened();
  await pass(3000);
  socket.checkNow();
  await pass(2500);
  assert.deepEqual(heard, ["up", "down"]);
  assert.equal(Line.all.length, 2);
  socket.close();
});

test("a page that was opened too often says so, waits, and comes back by itself", async () => {
  answers = [426];
  const { socket, heard } = opened();
  socket.addEventListener("crowded", () => heard.push("crowded"));
  Line.all[0].cut(4029);
  await pass(9000);
  assert.deepEqual([Line.all.length, asked], [1, 0], "it does not knock meanwhile");
  await pass(2000);
  assert.equal(Line.all.length, 2);
  assert.deepEqual(heard, ["up", "down", "crowded"]);
  socket.close();
});

test("a session that has ended is not knocked for again", async () => {
  answers = [403];
  const { heard } = opened();
  Line.all[0].cut();
  await pass(10_000);
  assert.deepEqual(heard, ["up", "down", "closed"]);
  assert.equal(asked, 1);
});

test("what stands is said once, and again on every new line", async () => {
  answers = [426];
  const { socket } = opened();
  const muted = { type: "sending", muted: true };
  socket.stand("sending", muted);
  socket.stand("sending", muted);
  assert.deepEqual(Line.all[0].sent, [muted]);
  Line.all[0].cut();
  await settle();
  socket.stand("sending", { type: "sending", muted: false });
  Line.all[1].open();
  assert.deepEqual(Line.all[1].sent, [{ type: "sending", muted: false }]);
  socket.close();
});
