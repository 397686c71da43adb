// @ts-check
// Reads a file piece by piece and answers with its SHA-256 as hex, or null when it cannot be read. Runs as a Worker:
// the page's own digests want the whole file in memory and refuse large ones.

import { sha256 } from "../lib/noble/sha2.js";

const PIECE_BYTES = 4 * 1024 * 1024;

/** @param {MessageEvent<Blob>} event */
self.onmessage = async ({ data: file }) => {
  try {
    const running = sha256.create();
    for (let at = 0; at < file.size; at += PIECE_BYTES) {
      running.update(new Uint8Array(await file.slice(at, at + PIECE_BYTES).arrayBuffer()));
    }
    self.postMessage([...running.digest()].map((byte) => byte.toString(16).padStart(2, "0")).join(""));
  } catch {
    self.postMessage(null); // the phone took the file away
  }
};
