import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { afterEach, beforeEach, test } from "node:test";

import { Newest } from "../../static/js/newest.js";

/** @type {import("node:http").Server} */
let server;
/** @type {import("node:http").ServerResponse[]} what was asked and waits for its answer */
let held;
/** @type {any[]} */
let drawn;
/** @type {Newest} */
let newest;

beforeEach(async () => {
  [held, drawn] = [[], []];
  server = createServer((_, response) => {
    held.push(response);
    server.emit("asked");
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  newest = new Newest(`http://127.0.0.1:${server.address().port}/`, (value) => drawn.push(value));
});
afterEach(() => {
  newest.close(); // else it asks on
  server.closeAllConnections();
  server.close();
});

/** Ask, and wait until the server has heard it. @returns {Promise<{said: Promise<void>}>} */
async function ask() {
  const heard = once(server, "asked");
  const said = newest.ask();
  await heard;
  return { said };
}

/** @param {number} index @param {any} value @param {number} [status] */
function answer(index, value, status = 200) {
  held[index].writeHead(status, { "Content-Type": "application/json" }).end(JSON.stringify(value));
}

test("of two answers under way only the newest is drawn, in whichever order they come", async () => {
  const [first, second] = [await ask(), await ask()];
  answer(1, "new");
  await second.said;
  answer(0, "old");
  await first.said;
  assert.deepEqual(drawn, ["new"]);
});

test("an answer that has begun and whose end is late is not drawn when a newer one came between", async () => {
  const { fetch } = globalThis;
  const hasBegun = new Promise((resolve) => {
    globalThis.fetch = (...asked) => {
      const said = fetch(...asked);
      said.then(resolve);
      return said;
    };
  });
  const first = await ask();
  held[0].writeHead(200, { "Content-Type": "application/json" }).write('"ol');
  await hasBegun;
  globalThis.fetch = fetch;
  const second = await ask();
  answer(1, "new");
  await second.said;
  held[0].end('d"');
  await first.said;
  assert.deepEqual(drawn, ["new"]);
});

test("what a deed brought back is newer than what was asked before it", async () => {
  const { said } = await ask();
  newest.take("signed");
  answer(0, "read");
  await said;
  assert.deepEqual(drawn, ["signed"]);
});

test("the same word of the room is asked for once, and nothing is asked for what is not there", async () => {
  newest.follow(null);
  assert.deepEqual(drawn, []);
  const heard = once(server, "asked");
  newest.follow({ version: 1 });
  newest.follow({ version: 1 });
  await heard;
  newest.follow(null);
  assert.deepEqual(drawn, [null]);
  await ask(); // behind all that went out before it
  assert.equal(held.length, 2);
});

test("what is forgotten stays forgotten, whatever was under way", async () => {
  const { said } = await ask();
  newest.close();
  answer(0, "late");
  await said;
  assert.deepEqual(drawn, [null]);
});

test("a refusal hides what was shown, unless the page says otherwise", async () => {
  const first = await ask();
  answer(0, {}, 403);
  await first.said;
  assert.deepEqual(drawn, [null]);
  newest.refused = () => {};
  const second = await ask();
  answer(1, {}, 403);
  await second.said;
  assert.deepEqual(drawn, [null]);
});

test("a server that fails is asked again", async () => {
  const { said } = await ask();
  answer(0, {}, 503);
  await said;
  await once(server, "asked");
  const shown = new Promise((resolve) => (newest.draw = resolve));
  answer(1, "there");
  assert.equal(await shown, "there");
});
