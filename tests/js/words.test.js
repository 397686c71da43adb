import assert from "node:assert/strict";
import { test } from "node:test";

import { fill } from "../../static/js/words.js";

test("each name is filled in wherever it stands, and a figure as well", () =>
  assert.equal(fill("{done} of {all}; {all} in all", { done: 0, all: 3 }), "0 of 3; 3 in all"));

test("what is typed is shown as it is, whatever it looks like", () =>
  assert.equal(fill("{name} asked", { name: "$& {all}" }), "$& {all} asked"));

test("what is not given leaves nothing, and no words are no words", () => {
  assert.equal(fill("Hello {name}."), "Hello .");
  assert.equal(fill(undefined, { name: "Jo" }), "");
});
