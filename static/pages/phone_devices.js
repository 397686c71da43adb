// @ts-check
// The person's own camera and microphone in a call: shown to themselves, muted, changed for others, and opened anew when
// the system or another app has taken them. What is wrong with them stands in `trouble`, for all to read.

import { DeviceWatch } from "../js/devices.js";
import { mirror, openCamera, otherCamera, reopen } from "./phone_check.js";
import { one, root } from "./phone_page.js";

const control = (/** @type {string} */ name) => one(root, `[data-section="call"] [data-do="${name}"]`);

/**
 * @typedef {object} Deeds what the page does for us
 * @property {() => import("../js/media.js").Call | null} call
 * @property {import("./phone_more.js").More} more
 * @property {(text: string) => void} tell say a sentence for a while
 * @property {() => void} changed what is sent has changed
 * @property {() => void} redraw something is said that was not
 * @property {() => void} play the others' sound and picture again
 */

export class OwnDevices {
  /**
   * @param {Record<string, string>} words
   * @param {import("./phone_notices.js").Trouble} trouble
   * @param {Deeds} deeds
   */
  constructor(words, trouble, deeds) {
    this.words = words;
    this.trouble = trouble;
    this.deeds = deeds;
    /** @type {import("./phone_check.js").Devices | null} */
    this.opened = null;
    /** @type {Promise<boolean>} one change after the other: camera and microphone may stop at once, and one opening serves both */
    this.line = Promise.resolve(true);
    this.players = ["[data-own]", "[data-preview]"].map((selector) => /** @type {HTMLVideoElement} */ (one(root, selector)));
    this.watch = new DeviceWatch();
    this.watch.addEventListener("interrupted", (event) => this.#hold(/** @type {CustomEvent} */ (event).detail.kind, true));
    this.watch.addEventListener("resumed", (event) => {
      this.#hold(/** @type {CustomEvent} */ (event).detail.kind, false);
      deeds.call()?.wake();
      deeds.play();
    });
    this.watch.addEventListener("lost", (event) => void this.#replaceLost(/** @type {CustomEvent} */ (event).detail.kind));
    this.watch.addEventListener("changed", (event) => {
      const { came, gone } = /** @type {CustomEvent} */ (event).detail;
      const [said, device] = gone.length ? [words.headset_gone, gone[0]] : [words.headset_came, came[0]];
      if (this.opened) deeds.tell(said.replace("{device}", device.label));
      void deeds.more.listDevices();
    });
  }

  get isCameraOn() {
    return this.opened?.stream.getVideoTracks().some((track) => track.readyState === "live" && track.enabled) ?? false;
  }

  get hasMicrophone() {
    return this.opened?.stream.getAudioTracks().some((track) => track.readyState === "live") ?? false;
  }

  /** The check is done: these are ours now. @param {import("./phone_check.js").Devices} opened */
  take(opened) {
    this.opened = opened;
    this.watch.watch(opened.stream);
    this.show();
  }

  /** Let go of camera and microphone. */
  close() {
    this.watch.forget();
    for (const track of this.opened?.stream.getTracks() ?? []) track.stop();
    this.opened = null;
    for (const player of this.players) player.srcObject = null;
    Object.assign(this.trouble, { isInterrupted: false, cameraTaken: false, isMuted: false, deviceLost: false });
    control("restart").hidden = true;
  }

  show() {
    if (!this.opened) return;
    const { stream, facing } = this.opened;
    for (const player of this.players) {
      player.srcObject = stream;
      player.hidden = !this.isCameraOn || this.deeds.more.soundOnly;
      mirror(player, facing);
      player.play().catch(() => {});
    }
    this.name();
  }

  name() {
    const { words } = this;
    if (this.opened) this.deeds.more.nameSwap(this.opened.facing === "user" ? words.use_back : words.use_front);
    control("mute").textContent = this.trouble.isMuted ? words.unmute : words.mute;
    control("camera").textContent = this.isCameraOn ? words.camera_off : words.camera_on;
  }

  toggleMute() {
    this.trouble.isMuted = !this.trouble.isMuted;
    this.deeds.call()?.setMuted("audio", this.trouble.isMuted);
    this.deeds.changed();
    this.deeds.redraw();
  }

  async toggleCamera() {
    const call = this.deeds.call();
    if (!this.opened || !call) return;
    const lives = this.opened.stream.getVideoTracks().some((track) => track.readyState === "live");
    if (lives) call.setMuted("video", this.isCameraOn);
    else {
      await this.#change((before) => openCamera(before.stream, before.facing));
      this.deeds.call()?.setMuted("video", false);
    }
    this.show();
    this.deeds.changed();
  }

  /** Change between the two sides of a phone, or to a computer's next camera. */
  async swapCamera() {
    this.deeds.more.close();
    const { opened } = this;
    if (!opened || !this.isCameraOn) return;
    const before = opened.facing;
    const facing = before === "user" ? "environment" : "user";
    opened.facing = facing;
    const next = await otherCamera(opened.stream);
    if (!(await this.#change(({ stream }) => openCamera(stream, facing, next))) && this.opened) {
      this.opened.facing = before;
      await this.#change(({ stream }) => reopen(stream, before)); // the old one stopped first: phones have one camera at a time
    }
    this.show();
  }

  /** A camera or microphone stopped by itself: open it again, for which the browser wants a press. */
  async restart() {
    await this.#change((before) => reopen(before.stream, before.facing));
  }

  /** The system took a device, or gave it back. @param {string} kind @param {boolean} taken */
  #hold(kind, taken) {
    const name = kind === "audio" ? "isInterrupted" : "cameraTaken";
    if (this.trouble[name] !== taken) {
      this.trouble[name] = taken;
      this.deeds.changed();
    }
    this.deeds.redraw();
  }

  /** A device has stopped for good: take what is there now; only when that fails a press is needed. @param {string} kind */
  async #replaceLost(kind) {
    this.#hold(kind, false);
    this.trouble.deviceLost = kind === "audio";
    this.deeds.changed();
    if (await this.#change((before) => reopen(before.stream, before.facing))) return;
    if (!this.opened) return; // left meanwhile
    this.trouble.deviceLost = true;
    control("restart").hidden = false;
    this.name();
  }

  /**
   * Put other devices in place of the present ones, in the call too.
   * @param {(before: import("./phone_check.js").Devices) => Promise<MediaStream>} open
   * @returns {Promise<boolean>} whether they are there
   */
  #change(open) {
    this.line = this.line.then(() => this.#changeNow(open));
    return this.line;
  }

  /** @param {(before: import("./phone_check.js").Devices) => Promise<MediaStream>} open @returns {Promise<boolean>} */
  async #changeNow(open) {
    const { opened: before, trouble } = this;
    if (!before) return false;
    try {
      const stream = await open(before);
      if (this.opened !== before) {
        for (const track of stream.getTracks()) track.stop(); // left meanwhile
        return false;
      }
      this.opened = { ...before, stream };
      await this.deeds.call()?.replaceStream(stream);
      this.deeds.call()?.setMuted("audio", trouble.isMuted);
      trouble.deviceLost = false;
      trouble.isInterrupted = stream.getAudioTracks().some((track) => track.muted);
      trouble.cameraTaken = stream.getVideoTracks().some((track) => track.muted);
      control("restart").hidden = true;
      this.watch.watch(stream);
      this.deeds.changed();
      this.show();
      return true;
    } catch {
      this.deeds.tell(this.words.device_problem);
      return false;
    }
  }
}
