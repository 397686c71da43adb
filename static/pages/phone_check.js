// @ts-check
// The check of camera, microphone and network: our own picture, sent to the relay and back.

import { listDevices, openDevices } from "../js/devices.js";
import { signalOf } from "../js/signal.js";

const NETWORK_WITHIN_MS = 15000;
const HEARD = 0.02;
const UNHEARD_AFTER_MS = 6000;
const IN_APP = /FBAN|FBAV|FB_IAB|Instagram|Snapchat|TikTok|musical_ly|BytedanceWebview|Line\/|LinkedInApp|; wv\)/;

/** @typedef {{stream: MediaStream, facing: "user" | "environment"}} Devices */

/** Whether the page stands inside another app, where cameras often do not work. */
export function isInApp() {
  return IN_APP.test(navigator.userAgent);
}

/**
 * Open another camera beside the microphone that is open already. Phones have one camera at a time: the old one stops first.
 * @param {MediaStream} stream
 * @param {"user" | "environment"} facing
 * @param {string} [deviceId]
 */
export async function openCamera(stream, facing, deviceId) {
  for (const track of stream.getVideoTracks()) track.stop();
  const picture = await openDevices({ video: true, audio: false, facing, deviceId });
  return new MediaStream([...stream.getAudioTracks(), ...picture.getVideoTracks()]);
}

/**
 * Open anew what has stopped by itself: a phone call or another app takes camera and microphone away.
 * @param {MediaStream} stream
 * @param {"user" | "environment"} facing
 */
export async function reopen(stream, facing) {
  const alive = stream.getTracks().filter((track) => track.readyState === "live");
  const lacks = (/** @type {string} */ kind) =>
    stream.getTracks().some((track) => track.kind === kind) && !alive.some((track) => track.kind === kind);
  const [video, audio] = [lacks("video"), lacks("audio")];
  if (!video && !audio) return stream;
  const fresh = await openDevices({ video, audio, facing });
  return new MediaStream([...alive, ...fresh.getTracks()]);
}

/**
 * Return a computer's next camera; phones go by the side they look to.
 * @param {MediaStream} stream
 * @returns {Promise<string | undefined>}
 */
export async function otherCamera(stream) {
  if (isTouch()) return undefined;
  const ids = (await listDevices()).filter((one) => one.kind === "videoinput").map((one) => one.id);
  const current = stream.getVideoTracks()[0]?.getSettings().deviceId ?? "";
  return ids[(ids.indexOf(current) + 1) % ids.length];
}

/** Say whether a picture should be shown as in a mirror: people expect it of a camera that looks at them. @param {HTMLVideoElement} player @param {string} facing */
export function mirror(player, facing) {
  player.classList.toggle("app-mirrored", facing === "user");
}

export class Check {
  /**
   * @param {HTMLElement} section
   * @param {{words: Record<string, string>, makeCall: (stream: MediaStream) => import("../js/media.js").Call, onReady: (devices: Devices) => void}} given
   */
  constructor(section, { words, makeCall, onReady }) {
    this.section = section;
    this.words = words;
    this.makeCall = makeCall;
    this.onReady = onReady;
    this.straightOn = false;
    this.withCamera = true;
    /** @type {"user" | "environment"} */
    this.facing = "user";
    /** @type {MediaStream | null} */
    this.stream = null;
    /** @type {import("../js/media.js").Call | null} */
    this.call = null;
    this.heardAt = 0;
    this.sounds = 0;
    this.timer = 0;
    this.turn = 0;
    this.flipping = Promise.resolve();
    this.player = /** @type {HTMLVideoElement} */ (section.querySelector("[data-echo]"));
    this.meter = /** @type {HTMLMeterElement} */ (section.querySelector("[data-level]"));
  }

  /**
   * Ask for camera and microphone.
   * @param {{straightOn: boolean}} how straightOn: the check was done before, go on as soon as the devices are there
   */
  open({ straightOn }) {
    this.straightOn = straightOn;
    this.show("ask");
    this.part("in_app").hidden = !isInApp();
    this.one("[data-first]").hidden = straightOn;
    this.one("[data-again]").hidden = !straightOn;
  }

  /** Let go of everything but, with `keep`, the devices. @param {{keep?: boolean}} how */
  close({ keep = false } = {}) {
    this.turn += 1;
    clearTimeout(this.timer);
    this.call?.close();
    this.call = null;
    this.player.srcObject = null;
    if (!keep) for (const track of this.stream?.getTracks() ?? []) track.stop();
    this.stream = null;
  }

  /** @param {boolean} withCamera */
  async start(withCamera = this.withCamera) {
    this.close();
    const turn = this.turn;
    this.withCamera = withCamera;
    this.show("");
    this.say("[data-asking]", this.words.asking);
    try {
      const stream = await openDevices({ video: withCamera, audio: true, facing: this.facing });
      if (turn !== this.turn) {
        for (const track of stream.getTracks()) track.stop(); // asked twice, or left meanwhile
        return;
      }
      this.stream = stream;
    } catch (problem) {
      if (turn === this.turn) this.showProblem(/** @type {any} */ (problem).reason ?? "other");
      return;
    }
    this.say("[data-asking]", "");
    if (this.straightOn) await this.ready();
    else await this.echo(turn);
  }

  /** Send picture and sound to the relay and show what comes back. @param {number} turn */
  async echo(turn) {
    const stream = /** @type {MediaStream} */ (this.stream);
    this.show("result");
    this.heardAt = 0;
    this.sounds = 0;
    this.player.srcObject = stream;
    this.player.hidden = !this.withCamera;
    this.one("[data-no-picture]").hidden = this.withCamera;
    mirror(this.player, this.facing);
    this.setResult("picture", this.withCamera ? this.words.picture_own : "", false);
    this.setResult("sound", this.words.sound_none, false);
    this.setResult("network", this.words.network_testing, false);
    void this.offerOtherCamera();
    const call = this.makeCall(stream);
    this.call = call;
    call.addEventListener("flowing", () => this.showEcho(call));
    call.addEventListener("slots", () => this.showEcho(call));
    call.addEventListener("connected", () => !this.withCamera && this.networkWorks());
    call.addEventListener("quality", (event) => this.call === call && this.showFigures(/** @type {CustomEvent} */ (event).detail));
    call.addEventListener("level", (event) => this.showLevel(/** @type {CustomEvent} */ (event).detail));
    this.timer = setTimeout(() => turn === this.turn && this.showProblem("network"), NETWORK_WITHIN_MS);
    try {
      await call.start({ echo: true });
    } catch {
      if (turn === this.turn) this.showProblem("network");
    }
  }

  /** @param {import("../js/media.js").Call} call */
  showEcho(call) {
    if (this.call !== call || !call.hasFlowed) return;
    if (this.withCamera) {
      this.player.srcObject = call.slots[0].stream;
      this.player.play().catch(() => {});
      this.setResult("picture", this.words.picture_ok, true);
    }
    this.networkWorks();
  }

  networkWorks() {
    clearTimeout(this.timer);
    this.part("problem").hidden = true;
    this.setResult("network", this.words.network_ok, true);
  }

  /** Say what the call will be like: the size of the picture that came back, and how good the way is. @param {import("../js/figures.js").Sample} figures */
  showFigures(figures) {
    if (!this.part("problem").hidden) return;
    const { width, height } = figures;
    if (this.withCamera && width && height) {
      this.setResult("picture", this.words.picture_size.replace("{width}", String(width)).replace("{height}", String(height)), true);
    }
    const { strength } = signalOf(figures);
    this.setResult("network", this.words[`network_${strength}`], strength === "good" || strength === "fair");
  }

  /**
   * The echo is played without sound (it would howl), so its loudness is unknown: heard is who speaks while sound comes back.
   * @param {{local: number, sounds: number[]}} level
   */
  showLevel(level) {
    if (!this.part("problem").hidden) return;
    this.meter.value = Math.min(1, Math.sqrt(level.local));
    const now = Date.now();
    const comesBack = level.sounds[0] > this.sounds;
    this.sounds = level.sounds[0];
    if (comesBack && level.local > HEARD) this.heardAt = now;
    const heard = this.heardAt > 0 && now - this.heardAt < UNHEARD_AFTER_MS;
    this.setResult("sound", heard ? this.words.sound_ok : this.words.sound_none, heard);
  }

  /** Go on with these devices; while one camera is changed for another, with the one that comes. */
  async ready() {
    const { turn } = this;
    await this.flipping;
    const stream = this.stream;
    if (!stream || turn !== this.turn) return;
    this.close({ keep: true });
    this.onReady({ stream, facing: this.facing });
  }

  async offerOtherCamera() {
    const cameras = (await listDevices()).filter((one) => one.kind === "videoinput");
    this.part("flip").hidden = !this.withCamera || cameras.length < 2;
    this.nameFlip();
  }

  nameFlip() {
    const other = this.facing === "user" ? this.words.use_back : this.words.use_front;
    this.say('[data-do="flip"]', isTouch() ? other : this.words.use_other);
  }

  /** Change to the other side of a phone, or to a computer's next camera, one change at a time. */
  flip() {
    this.flipping = this.flipping.then(() => this.useOther());
    return this.flipping;
  }

  async useOther() {
    const { call, stream, turn } = this;
    if (!stream || !call) return;
    try {
      const next = await otherCamera(stream);
      if (isTouch()) this.facing = this.facing === "user" ? "environment" : "user";
      const changed = await openCamera(stream, this.facing, next);
      if (turn !== this.turn) {
        for (const track of changed.getTracks()) track.stop();
        return;
      }
      this.stream = changed;
      await call.replaceStream(changed);
      mirror(this.player, this.facing);
      this.nameFlip();
    } catch (problem) {
      if (turn === this.turn) this.showProblem(/** @type {any} */ (problem).reason ?? "other");
    }
  }

  /** @param {string} reason */
  showProblem(reason) {
    this.say("[data-asking]", "");
    clearTimeout(this.timer);
    if (reason !== "network") this.close();
    for (const block of this.section.querySelectorAll("[data-problem]")) {
      const element = /** @type {HTMLElement} */ (block);
      element.hidden = element.dataset.problem !== reason;
    }
    if (reason === "network") for (const name of ["picture", "sound", "network"]) this.setResult(name, "", false);
    else this.show("problem");
    this.part("problem").hidden = false;
  }

  /** Show one part; "" shows none. @param {"" | "ask" | "problem" | "result"} name */
  show(name) {
    for (const part of ["ask", "problem", "result", "in_app"]) this.part(part).hidden = part !== name;
  }

  /**
   * @param {string} name
   * @param {string} text
   * @param {boolean} good
   */
  setResult(name, text, good) {
    const line = this.one(`[data-result="${name}"]`);
    if (line.textContent !== text) line.textContent = text; // announced once, not four times a second
    line.hidden = text === "";
    line.classList.toggle("app-results__good", good);
  }

  /**
   * @param {string} selector
   * @param {string} text
   */
  say(selector, text) {
    this.one(selector).textContent = text;
  }

  /** @param {string} name */
  part(name) {
    return this.one(`[data-part="${name}"]`);
  }

  /** @param {string} selector @returns {HTMLElement} */
  one(selector) {
    return /** @type {HTMLElement} */ (this.section.querySelector(selector));
  }
}

function isTouch() {
  return matchMedia("(pointer: coarse)").matches;
}
