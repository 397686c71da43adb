// @noble/hashes, served under /static/<build>/lib/noble/ (video_server/web/static.py); only what we call.

export interface Running {
  update(piece: Uint8Array): Running;
  digest(): Uint8Array;
}

export const sha256: { create(): Running };
