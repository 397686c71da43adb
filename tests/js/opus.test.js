import assert from "node:assert/strict";
import { test } from "node:test";

import { withQuietRooms } from "../../static/js/opus.js";

const ANSWER = "a=rtpmap:63 red/48000/2\r\na=fmtp:63 111/111\r\na=rtpmap:111 opus/48000/2\r\na=fmtp:111 minptime=10;useinbandfec=1\r\n";

test("the answer asks opus to send next to nothing in a quiet room, and leaves the rest as it is", () => {
  const said = withQuietRooms(ANSWER);
  assert.match(said, /^a=fmtp:111 usedtx=1;minptime=10;useinbandfec=1\r$/m);
  assert.match(said, /^a=fmtp:63 111\/111\r$/m);
  assert.equal(withQuietRooms(said), said);
});
