// Camera, microphone and the one connection to the relay. It speaks; it draws nothing.
//
// A Call makes one RTCPeerConnection with every receive slot in its first offer: nothing is negotiated again when
// people come and go. It watches what arrives, four times a second. Silence of the path for SILENT_MS starts the way
// back: first a new path for the same connection (ICE restart), then a fresh connection, until it flows again.
//
// Events: "connected", "flowing" {video}, "broken" {since}, "recovered", "level" {local, remote, sounds}, "slots", "failed" {code}

const LOOK_MS = 250;
const SILENT_MS = 1500;
const RESTART_WAIT_MS = 1500;
const FRESH_WAIT_MS = 4000;
const FIRST_PAUSE_MS = 250;
const LAST_PAUSE_MS = 2000;
const MOST_BITS_PER_SECOND = 2_000_000;

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

/** @typedef {{audio: MediaStreamTrack, video: MediaStreamTrack, stream: MediaStream}} Slot */

export class Call extends EventTarget {
  /** @param {{socket: import("./signalling.js").RoomSocket, stream: MediaStream, iceServers?: RTCIceServer[], slots?: number}} given */
  constructor({ socket, stream, iceServers = [], slots = 4 }) {
    super();
    this.socket = socket;
    this.stream = stream;
    this.iceServers = iceServers;
    this.slotCount = slots;
    this.isEcho = false;
    this.isOver = false;
    this.isBroken = false;
    this.isMending = false;
    /** @type {RTCPeerConnection | null} */
    this.connection = null;
    /** @type {{audio: RTCRtpSender, video: RTCRtpSender} | null} */
    this.senders = null;
    /** @type {Slot[]} */
    this.slots = [];
    /** @type {{slot: number, participant: string, audio: boolean, video: boolean}[]} */
    this.people = [];
    this.packets = 0;
    this.packetsAt = 0;
    this.hasFlowed = false;
    this.timer = 0;
    this.endPause = () => {};
    this.onSlots = (/** @type {Event} */ event) => this.setPeople(/** @type {CustomEvent} */ (event).detail);
    this.onRelay = (/** @type {Event} */ event) => this.hearRelay(/** @type {CustomEvent} */ (event).detail);
    socket.addEventListener("slots", this.onSlots);
    socket.addEventListener("relay", this.onRelay);
  }

  /**
   * Connect, and keep connected. With echo, the relay sends back what it receives, and to nobody else.
   * Rejects only when trying again cannot help.
   * @param {{echo?: boolean}} how
   */
  async start({ echo = false } = {}) {
    this.isEcho = echo;
    this.timer = setInterval(() => this.look(), LOOK_MS);
    try {
      await this.connect();
    } catch (problem) {
      if (isLast(problem)) throw problem;
      this.mend(true);
    }
  }

  /**
   * @param {"audio" | "video"} kind
   * @param {boolean} muted
   */
  setMuted(kind, muted) {
    for (const track of this.stream.getTracks()) if (track.kind === kind) track.enabled = !muted;
  }

  /** Send another camera or microphone from now on. @param {MediaStream} stream */
  async replaceStream(stream) {
    const before = this.stream;
    this.stream = stream;
    for (const track of stream.getTracks()) {
      const old = before.getTracks().find((one) => one.kind === track.kind);
      if (old) track.enabled = old.enabled;
    }
    if (!this.senders) return;
    await this.senders.audio.replaceTrack(stream.getAudioTracks()[0] ?? null);
    await this.senders.video.replaceTrack(stream.getVideoTracks()[0] ?? null);
  }

  /** End for good; the devices stay with who opened them. */
  close() {
    this.isOver = true;
    clearInterval(this.timer);
    this.socket.removeEventListener("slots", this.onSlots);
    this.socket.removeEventListener("relay", this.onRelay);
    this.hangUp();
  }

  hangUp() {
    if (!this.connection) return;
    this.connection.onconnectionstatechange = null;
    this.connection.close();
    this.connection = null;
  }

  /** Through which servers the relay may be reached: those told last, for their credentials expire. */
  get servers() {
    return this.socket.iceServers ?? this.iceServers;
  }

  /** Make a fresh connection: one offer, one answer. */
  async connect() {
    this.hangUp();
    const connection = new RTCPeerConnection({ bundlePolicy: "max-bundle", iceServers: this.servers });
    this.connection = connection;
    connection.onconnectionstatechange = () => this.hearConnection(connection);
    const audio = connection.addTransceiver(this.stream.getAudioTracks()[0] ?? "audio", { direction: "sendonly" });
    const video = connection.addTransceiver(this.stream.getVideoTracks()[0] ?? "video", {
      direction: "sendonly",
      sendEncodings: [{ maxBitrate: MOST_BITS_PER_SECOND }],
    });
    preferRedundancy(audio);
    this.senders = { audio: audio.sender, video: video.sender };
    this.slots = [];
    for (let n = 0; n < this.slotCount; n++) {
      const sound = connection.addTransceiver("audio", { direction: "recvonly" });
      preferRedundancy(sound);
      const picture = connection.addTransceiver("video", { direction: "recvonly" });
      const tracks = [sound.receiver.track, picture.receiver.track];
      this.slots.push({ audio: tracks[0], video: tracks[1], stream: new MediaStream(tracks) });
    }
    this.packets = 0;
    this.packetsAt = 0;
    this.hasFlowed = false;
    this.tell("slots", this.people);
    await this.negotiate(connection, false);
  }

  /**
   * @param {RTCPeerConnection} connection
   * @param {boolean} restart
   */
  async negotiate(connection, restart) {
    if (restart) connection.setConfiguration({ ...connection.getConfiguration(), iceServers: this.servers });
    await connection.setLocalDescription(await connection.createOffer({ iceRestart: restart }));
    const sdp = connection.localDescription?.sdp ?? "";
    const answer = await this.socket.request({ type: "offer", sdp, echo: this.isEcho, restart });
    if (this.connection !== connection) return;
    await connection.setRemoteDescription({ type: "answer", sdp: answer.sdp });
  }

  /** @param {{slot: number, participant: string, audio: boolean, video: boolean}[]} people */
  setPeople(people) {
    this.people = people;
    this.tell("slots", people);
  }

  /** @param {RTCPeerConnection} connection */
  hearConnection(connection) {
    if (this.connection !== connection) return;
    if (connection.connectionState === "connected") this.tell("connected", {});
    if (connection.connectionState === "disconnected") this.mend(false);
    if (connection.connectionState === "failed") this.mend(true);
  }

  /** @param {"lost" | "back"} state */
  hearRelay(state) {
    if (state === "lost") this.setBroken();
    else if (this.isMending) this.endPause();
    else this.mend(true);
  }

  /** Look at what has arrived since the last look. */
  async look() {
    const connection = this.connection;
    if (!connection || this.isOver) return;
    const seen = read(await connection.getStats(), connection);
    if (this.connection !== connection) return;
    this.tell("level", { local: seen.local, remote: seen.remote, sounds: seen.sounds });
    const now = Date.now();
    if (seen.packets !== this.packets) {
      this.packets = seen.packets;
      this.packetsAt = now;
    }
    if (seen.frames[0] > 0 && !this.hasFlowed) {
      this.hasFlowed = true;
      this.tell("flowing", { video: true });
    }
    const flows = this.packetsAt > 0 && now - this.packetsAt < SILENT_MS;
    if (flows && this.isBroken && !this.isMending) this.setWhole();
    if (!flows && this.packetsAt > 0 && !this.isMending) this.mend(false);
  }

  /**
   * Find the way back: a new path first unless the connection is known to be dead, then fresh connections.
   * @param {boolean} fresh
   */
  async mend(fresh) {
    if (this.isMending || this.isOver) return;
    this.isMending = true;
    this.setBroken();
    let pauseMs = FIRST_PAUSE_MS;
    for (let isFirst = true; !this.isOver; isFirst = false) {
      const connection = this.connection;
      try {
        const restart = isFirst && !fresh && connection !== null && connection.connectionState !== "closed";
        if (restart) await this.negotiate(connection, true);
        else await this.connect();
        if (await this.flowsWithin(restart ? RESTART_WAIT_MS : FRESH_WAIT_MS)) break;
      } catch (problem) {
        if (isLast(problem)) {
          this.tell("failed", problem);
          break;
        }
      }
      await this.pause(pauseMs * (0.5 + Math.random()));
      pauseMs = Math.min(pauseMs * 1.5, LAST_PAUSE_MS);
    }
    this.isMending = false;
    if (!this.isOver && this.packetsAt > 0) this.setWhole();
  }

  /** Wait, or until news makes waiting pointless. @param {number} ms */
  pause(ms) {
    return new Promise((resolve) => {
      this.endPause = () => resolve(undefined);
      setTimeout(this.endPause, ms);
    });
  }

  /** @param {number} withinMs */
  async flowsWithin(withinMs) {
    const until = Date.now() + withinMs;
    const connection = this.connection;
    const before = connection ? read(await connection.getStats(), connection).packets : 0;
    while (Date.now() < until && !this.isOver && this.connection === connection && connection) {
      await sleep(50);
      if (connection.connectionState !== "connected") continue;
      const packets = read(await connection.getStats(), connection).packets;
      if (packets !== before) {
        this.packets = packets;
        this.packetsAt = Date.now();
        return true;
      }
    }
    // somebody not admitted yet receives nothing: a path that stands is all there is to see
    return this.people.length === 0 && connection?.connectionState === "connected";
  }

  setBroken() {
    if (this.isBroken) return;
    this.isBroken = true;
    this.tell("broken", { since: Date.now() });
  }

  setWhole() {
    if (!this.isBroken) return;
    this.isBroken = false;
    this.tell("recovered", {});
  }

  /**
   * @param {string} name
   * @param {any} detail
   */
  tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}

/** Ask for opus with redundancy (RED) where the browser has it: lost packets are then mostly heard anyway. @param {RTCRtpTransceiver} transceiver */
function preferRedundancy(transceiver) {
  const codecs = RTCRtpReceiver.getCapabilities?.("audio")?.codecs ?? [];
  const red = codecs.filter((codec) => codec.mimeType.toLowerCase() === "audio/red");
  if (red.length && transceiver.setCodecPreferences) {
    transceiver.setCodecPreferences([...red, ...codecs.filter((codec) => !red.includes(codec))]);
  }
}

/**
 * Read packets received in all, decoded frames and sound levels by slot.
 * @param {RTCStatsReport} report
 * @param {RTCPeerConnection} connection
 */
function read(report, connection) {
  const receiving = connection.getTransceivers().filter((one) => one.direction === "recvonly");
  const slotOf = new Map(receiving.map((one, n) => [one.mid, n >> 1]));
  /** @type {number[]} */
  const remote = Array(receiving.length >> 1).fill(0);
  /** @type {number[]} */
  const frames = Array(receiving.length >> 1).fill(0);
  /** Sound packets by slot: a muted player leaves levels at 0. @type {number[]} */
  const sounds = Array(receiving.length >> 1).fill(0);
  let local = 0;
  let packets = 0;
  report.forEach((one) => {
    if (one.type === "transport") packets += one.packetsReceived ?? one.bytesReceived ?? 0;
    if (one.type === "media-source" && one.kind === "audio") local = one.audioLevel ?? 0;
    if (one.type !== "inbound-rtp") return;
    const slot = slotOf.get(one.mid) ?? 0;
    if (one.kind === "audio") {
      remote[slot] = one.audioLevel ?? 0;
      sounds[slot] = one.packetsReceived ?? 0;
    } else frames[slot] = one.framesDecoded ?? 0;
  });
  return { packets, local, remote, sounds, frames };
}

/** Whether trying again cannot help: the session or the room is at its end. @param {any} problem */
function isLast(problem) {
  return ["cannot_join", "not_found", "bad_offer", "full"].includes(problem?.code);
}

/** @param {number} ms */
function sleep(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
