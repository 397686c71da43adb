// Camera and microphone: opening them, and noticing what others do to them. It speaks; it draws nothing.

export class DeviceProblem extends Error {
  /** @param {"denied" | "none" | "in_use" | "unsupported" | "insecure" | "other"} reason */
  constructor(reason) {
    super(reason);
    this.reason = reason;
  }
}

/** What browsers call their refusals, in our words. @type {Record<string, DeviceProblem["reason"]>} */
const REASONS = {
  NotAllowedError: "denied",
  SecurityError: "denied",
  NotFoundError: "none",
  OverconstrainedError: "none",
  DevicesNotFoundError: "none",
  NotReadableError: "in_use",
  AbortError: "in_use",
  TrackStartError: "in_use",
};

/**
 * Ask for camera and microphone.
 * @param {{video?: boolean, audio?: boolean, facing?: "user" | "environment", deviceId?: string, microphoneId?: string}} wish
 * @returns {Promise<MediaStream>}
 */
export async function openDevices({ video = true, audio = true, facing = "user", deviceId, microphoneId } = {}) {
  if (!globalThis.isSecureContext) throw new DeviceProblem("insecure");
  if (!navigator.mediaDevices || !navigator.mediaDevices.getUserMedia || !globalThis.RTCPeerConnection) {
    throw new DeviceProblem("unsupported");
  }
  /** @type {MediaTrackConstraints} */
  const picture = { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30, max: 30 } };
  if (deviceId) picture.deviceId = { exact: deviceId };
  else picture.facingMode = facing;
  /** @type {MediaTrackConstraints} */
  const sound = { echoCancellation: true, noiseSuppression: true, autoGainControl: true };
  if (microphoneId) sound.deviceId = { exact: microphoneId };
  try {
    return await navigator.mediaDevices.getUserMedia({ video: video && picture, audio: audio && sound });
  } catch (problem) {
    throw new DeviceProblem(problem instanceof Error ? (REASONS[problem.name] ?? "other") : "other");
  }
}

/** Whether this browser can share a screen; phones cannot. */
export function canShareScreen() {
  return Boolean(navigator.mediaDevices?.getDisplayMedia);
}

/**
 * Ask for a screen, a window or a tab. Rejects with DeviceProblem; "denied" also when the person changed their mind.
 * @returns {Promise<MediaStreamTrack>}
 */
export async function openScreen() {
  try {
    const stream = await navigator.mediaDevices.getDisplayMedia({ video: { frameRate: { ideal: 5, max: 15 } }, audio: false });
    const [track] = stream.getVideoTracks();
    track.contentHint = "detail"; // letters before movement
    return track;
  } catch (problem) {
    throw new DeviceProblem(problem instanceof Error ? (REASONS[problem.name] ?? "other") : "other");
  }
}

/** @typedef {{kind: string, id: string, label: string}} Device */

/** @returns {Promise<Device[]>} */
export async function listDevices() {
  const found = (await navigator.mediaDevices?.enumerateDevices?.()) ?? [];
  return found.map((one) => ({ kind: one.kind, id: one.deviceId, label: one.label }));
}

/**
 * Say what has come or gone since the last list: the words for it, by kind.
 * @param {Device[]} before
 * @param {Device[]} after
 * @returns {{came: Device[], gone: Device[]}}
 */
export function difference(before, after) {
  const key = (/** @type {Device} */ one) => `${one.kind} ${one.id} ${one.label}`;
  const [old, fresh] = [new Set(before.map(key)), new Set(after.map(key))];
  const hasNames = before.some((one) => one.label); // before a browser allows the devices it hides their names
  return {
    came: hasNames ? after.filter((one) => one.kind !== "videoinput" && !old.has(key(one)) && !isAlias(one)) : [],
    gone: before.filter((one) => one.kind !== "videoinput" && !fresh.has(key(one)) && !isAlias(one) && one.label !== ""),
  };
}

/** "default" and "communications" only point at another device. @param {Device} device */
function isAlias(device) {
  return device.id === "default" || device.id === "communications";
}

/**
 * Watches the devices of a call.
 *
 * Events: "interrupted" {kind} and "resumed" {kind}: the system holds a device back (a phone call, another app, the lid)
 * and gives it back by itself; "lost" {kind}: it has stopped for good and must be opened anew; "changed" {came, gone}.
 */
export class DeviceWatch extends EventTarget {
  constructor() {
    super();
    /** @type {MediaStreamTrack[]} */
    this.tracks = [];
    /** @type {Device[]} */
    this.devices = [];
    this.over = new AbortController();
    const how = { signal: this.over.signal };
    navigator.mediaDevices?.addEventListener?.("devicechange", () => void this.look(), how);
    void listDevices().then((devices) => (this.devices = devices));
  }

  /** Watch these tracks from now on. @param {MediaStream} stream */
  watch(stream) {
    this.forget();
    this.tracks = stream.getTracks();
    for (const track of this.tracks) {
      track.onmute = () => this.tell("interrupted", { kind: track.kind });
      track.onunmute = () => this.tell("resumed", { kind: track.kind });
      track.onended = () => this.tell("lost", { kind: track.kind });
      if (track.muted) this.tell("interrupted", { kind: track.kind });
    }
    void listDevices().then((devices) => (this.devices = devices)); // they have names now
  }

  forget() {
    for (const track of this.tracks) track.onmute = track.onunmute = track.onended = null;
    this.tracks = [];
  }

  close() {
    this.forget();
    this.over.abort();
  }

  async look() {
    const devices = await listDevices();
    const { came, gone } = difference(this.devices, devices);
    this.devices = devices;
    if (came.length || gone.length) this.tell("changed", { came, gone });
  }

  /**
   * @param {string} name
   * @param {any} detail
   */
  tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}
