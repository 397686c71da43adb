// tus-js-client against the store: one file sent along with its creation and in pieces behind it, one given up.
// Arguments: the store, the file, two grants. Prints what happened as JSON.

import { createReadStream, statSync } from "node:fs";
import tus from "tus-js-client";

const [store, file, grant, another] = process.argv.slice(2);
const size = statSync(file).size;

/** Start an upload; `until` says whether to stop at so many bytes. */
function send(grant, until) {
  return new Promise((resolve, reject) => {
    let bearer = "";
    const upload = new tus.Upload(createReadStream(file), {
      endpoint: `${store}/evidence/files/`,
      uploadSize: size,
      chunkSize: 300_000,
      uploadDataDuringCreation: true,
      retryDelays: [],
      metadata: { filename: "photo.jpg", filetype: "image/jpeg" },
      onBeforeRequest: (request) => request.setHeader("Authorization", bearer || `Grant ${grant}`),
      onAfterResponse: (_, response) => {
        const given = response.getHeader("Upload-Bearer");
        if (given) bearer = `Bearer ${given}`;
      },
      onChunkComplete: (_, sent) => {
        if (until && sent >= until) upload.abort(true).then(() => resolve({ upload, bearer, sent }), reject);
      },
      onSuccess: () => resolve({ upload, bearer, sent: size }),
      onError: reject,
    });
    upload.start();
  });
}

const whole = await send(grant, 0);
const { createHash } = await import("node:crypto");
const digest = createHash("sha256");
for await (const piece of createReadStream(file)) digest.update(piece);
const sealed = await fetch(`${whole.upload.url}/digest`, {
  method: "POST",
  headers: { Authorization: whole.bearer, "Content-Type": "application/json" },
  body: JSON.stringify({ sha256: digest.digest("hex") }),
});
const { state, sha256 } = await sealed.json();
const ended = await send(another, 600_000);
const after = await fetch(ended.upload.url, {
  method: "HEAD",
  headers: { Authorization: ended.bearer, "Tus-Resumable": "1.0.0" },
});
console.log(JSON.stringify({ sent: whole.sent, state, sha256, givenUp: after.status }));
