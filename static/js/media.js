// The one connection to the relay. It speaks; it draws nothing.
//
// A Call makes one RTCPeerConnection with every line in its first offer: microphone, camera, screen, and a pair for each
// slot. Nothing is negotiated again when people come and go or share. It watches what arrives, four times a second.
// Silence of the path for SILENT_MS, or news of another network, starts the way back: first a new path for the same
// connection (ICE restart), then a fresh connection, until it flows again. What the break was is told to the server.
//
// Events: "connected", "flowing" {video}, "broken" {since}, "recovered", "level" {local, remote, sounds}, "slots",
// "quality" (the last five seconds, see figures.js; `slots`: of each slot alone), "share_taken" (another's screen is
// shown, so ours is not), "failed" {code}

import { Breaks } from "./breaks.js";
import { read, sample, sampleSlots } from "./figures.js";
import { preferRedundancy, withQuietRooms } from "./opus.js";

const LOOK_MS = 250;
const ASLEEP_MS = 3000; // looks this far apart: the page was frozen, the phone locked
const SILENT_MS = 1500;
const RESTART_WAIT_MS = 1500;
const FRESH_WAIT_MS = 4000;
const FIRST_PAUSE_MS = 250;
const LAST_PAUSE_MS = 2000;
const FIGURES_MS = 5000;
const MOST_BITS_PER_SECOND = 2_000_000;
const MOST_SCREEN_BITS_PER_SECOND = 1_500_000;

/** @typedef {import("./breaks.js").Why} Why */

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
    this.isHeld = false; // the call is paused: nothing comes, and nothing is broken
    this.isOver = false;
    this.breaks = new Breaks(socket);
    this.isMending = false;
    /** @type {Promise<unknown>} tracks are put one wish after the other: a sender says only afterwards what it carries */
    this.putting = Promise.resolve();
    /** @type {RTCPeerConnection | null} */
    this.connection = null;
    /** @type {{audio: RTCRtpSender, video: RTCRtpSender, screen: RTCRtpSender} | null} */
    this.senders = null;
    /** @type {MediaStreamTrack | null} what is shown instead of the camera */
    this.still = null;
    /** @type {MediaStreamTrack | null} */
    this.screen = null;
    /** Why no picture of ours is sent at all: "wish", "link". @type {Set<string>} */
    this.withoutPicture = new Set();
    /** @type {Slot[]} */
    this.slots = [];
    /** @type {{slot: number, participant: string, audio: boolean, video: boolean, screen: boolean}[]} */
    this.people = [];
    /** @type {import("./figures.js").Counts | null} */
    this.counts = null;
    this.countedAt = 0;
    this.lookedAt = 0;
    this.networkType = networkType();
    this.packets = 0;
    this.packetsAt = 0;
    this.hasFlowed = false;
    this.timer = 0;
    this.endPause = () => {};
    this.endPut = () => {};
    this.onSlots = (/** @type {Event} */ event) => this.setPeople(/** @type {CustomEvent} */ (event).detail);
    this.onRelay = (/** @type {Event} */ event) => this.hearRelay(/** @type {CustomEvent} */ (event).detail);
    this.onUp = () => {
      this.breaks.say(Date.now());
      this.endPause();
    };
    this.onOnline = () => this.hearNetwork();
    this.onNetwork = () => networkType() !== this.networkType && this.hearNetwork(); // "change" also tells of mere speed
    this.onOffline = () => this.setBroken("offline");
    socket.addEventListener("slots", this.onSlots);
    socket.addEventListener("relay", this.onRelay);
    socket.addEventListener("up", this.onUp);
    globalThis.addEventListener("online", this.onOnline);
    globalThis.addEventListener("offline", this.onOffline);
    connectionInfo()?.addEventListener?.("change", this.onNetwork);
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
      if (this.isOver) return; // ended meanwhile: that this one was refused concerns nobody
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

  /** Send this picture instead of the camera's; null goes back to the camera. @param {MediaStreamTrack | null} track */
  async showStill(track) {
    this.still = track;
    await this.putTracks();
  }

  /** Share a screen, or with null stop sharing. @param {MediaStreamTrack | null} track */
  async shareScreen(track) {
    this.screen = track;
    await this.putTracks();
    this.#heedOthers();
  }

  /**
   * Send no picture of ours while any reason holds: the person's own wish, or a link that carries only sound.
   * @param {"wish" | "link"} reason
   * @param {boolean} without
   */
  async setWithoutPicture(reason, without) {
    if (without) this.withoutPicture.add(reason);
    else this.withoutPicture.delete(reason);
    await this.putTracks();
  }

  /** Give each line what it is to carry now; nothing is negotiated. */
  putTracks() {
    const { senders } = this;
    const put = this.putting.then(() => this.#put(senders));
    this.putting = put.catch(() => {}); // told to who asked; the next is put all the same
    return put;
  }

  /** @param {typeof this.senders} senders */
  async #put(senders) {
    const { connection } = this;
    if (!connection || !senders || senders !== this.senders) return; // fresh lines are given what they carry when they are made
    const { audio, video, screen } = senders;
    const picture = this.withoutPicture.size ? null : (this.still ?? this.stream.getVideoTracks()[0] ?? null);
    const wanted = [[audio, this.stream.getAudioTracks()[0] ?? null], [video, picture], [screen, this.withoutPicture.size ? null : this.screen]];
    for (const [sender, track] of /** @type {[RTCRtpSender, MediaStreamTrack | null][]} */ (wanted)) {
      if (sender.track === track) continue;
      const hungUp = new Promise((resolve) => (this.endPut = () => resolve(undefined)));
      await Promise.race([sender.replaceTrack(track), hungUp]); // on closed lines it is refused, or never answered
      if (this.connection !== connection) return;
    }
  }

  /** Send another camera or microphone from now on. @param {MediaStream} stream */
  async replaceStream(stream) {
    const before = this.stream;
    this.stream = stream;
    for (const track of stream.getTracks()) {
      const old = before.getTracks().find((one) => one.kind === track.kind);
      if (old) track.enabled = old.enabled;
    }
    await this.putTracks();
  }

  /** The page is in sight again, or a telephone call is over: find out now rather than at the next tick. */
  wake() {
    if (!this.isOver) void this.look();
  }

  /** End for good; the devices stay with who opened them. */
  close() {
    this.isOver = true;
    clearInterval(this.timer);
    this.socket.removeEventListener("slots", this.onSlots);
    this.socket.removeEventListener("relay", this.onRelay);
    this.socket.removeEventListener("up", this.onUp);
    globalThis.removeEventListener("online", this.onOnline);
    globalThis.removeEventListener("offline", this.onOffline);
    connectionInfo()?.removeEventListener?.("change", this.onNetwork);
    this.endPause();
    this.hangUp();
  }

  hangUp() {
    if (!this.connection) return;
    this.endPut();
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
    const video = connection.addTransceiver("video", { direction: "sendonly", sendEncodings: [{ maxBitrate: MOST_BITS_PER_SECOND }] });
    const screen = connection.addTransceiver("video", {
      direction: "sendonly",
      sendEncodings: [{ maxBitrate: MOST_SCREEN_BITS_PER_SECOND }],
    });
    preferRedundancy(audio);
    this.senders = { audio: audio.sender, video: video.sender, screen: screen.sender };
    await this.putTracks();
    if (this.connection !== connection) return;
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
    this.counts = null;
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
    await connection.setRemoteDescription({ type: "answer", sdp: withQuietRooms(answer.sdp) });
  }

  /** @param {typeof this.people} people */
  setPeople(people) {
    this.people = people;
    this.tell("slots", people);
    this.#heedOthers();
  }

  /** Of two who share at the same moment the relay shows one: who then sees the other's screen is the one it does not. */
  #heedOthers() {
    if (this.screen && this.isSharedByOthers) this.tell("share_taken", {});
  }

  /** Whether somebody shares a screen already; our own sits in no slot of ours. */
  get isSharedByOthers() {
    return this.people.some((one) => one.screen);
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
    if (state === "lost") this.setBroken("relay_lost");
    else if (this.isMending) this.endPause();
    else this.mend(true);
  }

  /** Another network, or the old one again: do not wait for silence. */
  hearNetwork() {
    this.networkType = networkType();
    if (navigator.onLine === false || this.isOver || !this.connection) return;
    this.setBroken("network_changed");
    if (this.isMending) {
      this.socket.checkNow();
      this.endPause();
    } else this.mend(false);
  }

  /** Look at what has arrived since the last look. */
  async look() {
    const connection = this.connection;
    if (!connection || this.isOver) return;
    const seen = await this.count(connection);
    if (this.connection !== connection) return;
    const now = Date.now();
    const slept = this.lookedAt > 0 && now - this.lookedAt > ASLEEP_MS;
    this.tell("level", { local: seen.local, remote: seen.remote, sounds: seen.sounds });
    this.sayFigures(seen.counts, now);
    if (seen.packets !== this.packets) {
      this.packets = seen.packets;
      this.packetsAt = now;
    }
    if (seen.frames[0] > 0 && !this.hasFlowed) {
      this.hasFlowed = true;
      this.tell("flowing", { video: true });
    }
    if (slept && !this.isEcho) this.breaks.note(this.lookedAt, now, "asleep");
    this.lookedAt = now;
    if (this.isHeld && connection.connectionState === "connected" && this.packetsAt > 0) this.packetsAt = now; // silent on purpose
    const flows = this.packetsAt > 0 && now - this.packetsAt < SILENT_MS;
    if (flows && this.breaks.isOpen && !this.isMending) this.setWhole();
    if (!flows && this.packetsAt > 0 && !this.isMending) this.mend(false);
  }

  /** @param {RTCPeerConnection} connection */
  async count(connection) {
    const mids = connection.getTransceivers().flatMap((one) => (one.direction === "recvonly" ? [one.mid] : []));
    return read((await connection.getStats()).values(), mids);
  }

  /**
   * Every five seconds, say how the last five were.
   * @param {import("./figures.js").Counts} counts
   * @param {number} now
   */
  sayFigures(counts, now) {
    if (this.counts && now - this.countedAt < FIGURES_MS) return;
    if (this.counts) {
      const figures = sample(this.counts, counts);
      this.tell("quality", { ...figures, slots: sampleSlots(this.counts, counts) });
      const { loss: _, ...said } = figures; // the relay knows the loss of both ways better
      if (!this.isEcho) this.socket.send({ type: "quality", ...said });
    }
    this.counts = counts;
    this.countedAt = now;
  }

  /**
   * Find the way back: a new path first unless the connection is known to be dead, then fresh connections.
   * @param {boolean} fresh
   */
  async mend(fresh) {
    if (this.isMending || this.isOver) return;
    this.isMending = true;
    this.setBroken(navigator.onLine === false ? "offline" : "silent");
    this.socket.checkNow(); // the way back is asked for over that line: if it died with the path, have another one soon
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
          if (!this.isOver) this.tell("failed", problem);
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
    const before = connection ? (await this.count(connection)).packets : 0;
    while (Date.now() < until && !this.isOver && this.connection === connection && connection) {
      await sleep(50);
      if (connection.connectionState !== "connected") continue;
      const { packets } = await this.count(connection);
      if (packets !== before) {
        this.packets = packets;
        this.packetsAt = Date.now();
        return true;
      }
    }
    // somebody not admitted yet receives nothing: a path that stands is all there is to see
    return this.people.length === 0 && connection?.connectionState === "connected";
  }

  /** @param {Why} why */
  setBroken(why) {
    const since = why === "silent" && this.packetsAt > 0 ? this.packetsAt : Date.now();
    if (!this.isEcho && this.breaks.begin(why, since)) this.tell("broken", { since });
  }

  setWhole() {
    if (this.breaks.end(Date.now())) this.tell("recovered", {});
  }

  /**
   * @param {string} name
   * @param {any} detail
   */
  tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}

/** @returns {any} the browser's idea of the network, where it has one */
function connectionInfo() {
  return /** @type {any} */ (navigator).connection;
}

/** "wifi", "cellular", …, or "" where the browser does not say. @returns {string} */
function networkType() {
  return connectionInfo()?.type ?? "";
}

/** Whether trying again cannot help: the session or the room is at its end. @param {any} problem */
function isLast(problem) {
  return ["cannot_join", "not_found", "bad_offer", "full"].includes(problem?.code);
}

/** @param {number} ms */
function sleep(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
