// @ts-check
// What stands behind "More" in the call: the other camera, sound only, showing photos or a window, a small window, the loudspeaker.

import { canShareScreen, listDevices, openScreen } from "../js/devices.js";
import { canFloat, fillSpeakers, float } from "./call-tools.js";
import { Photos } from "./phone_photos.js";

/**
 * @typedef {object} Deeds what the page does for us
 * @property {() => import("../js/media.js").Call | null} call
 * @property {() => HTMLVideoElement | null} largest
 * @property {(device: string) => void} setSpeaker
 * @property {(text: string) => void} tell say a sentence for a while
 * @property {() => void} changed what is sent has changed
 */

export class More {
  /**
   * @param {HTMLElement} section the call's section
   * @param {Record<string, string>} words
   * @param {Deeds} deeds
   */
  constructor(section, words, deeds) {
    this.section = section;
    this.words = words;
    this.deeds = deeds;
    this.panel = this.#one("[data-more]");
    this.speaker = /** @type {HTMLSelectElement} */ (this.#one("[data-speaker]"));
    this.soundOnly = false;
    this.mayShare = true;
    /** @type {MediaStreamTrack | null} */
    this.screen = null;
    this.photos = new Photos(section, words);
    this.photos.addEventListener("begun", (event) => void this.#share(/** @type {CustomEvent} */ (event).detail.track));
    this.photos.addEventListener("stop", () => void this.stopSharing());
    this.photos.addEventListener("problem", () => deeds.tell(words.photo_problem));
    this.speaker.addEventListener("change", () => deeds.setSpeaker(this.speaker.value));
    this.section.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || this.panel.hidden) return;
      this.close();
    });
  }

  toggle() {
    if (this.panel.hidden) void this.open();
    else this.close();
  }

  async open() {
    this.#control("share").hidden = !this.mayShare;
    this.#control("window").hidden = !this.mayShare || !canShareScreen() || this.screen !== null;
    this.#control("float").hidden = !canFloat();
    this.name();
    this.panel.hidden = false;
    this.#control("more").setAttribute("aria-expanded", "true");
    await this.listDevices();
    /** @type {HTMLElement | null} */ (this.panel.querySelector("button:not([hidden])"))?.focus();
  }

  close() {
    const hasFocus = this.panel.contains(document.activeElement);
    this.panel.hidden = true;
    if (hasFocus) this.#control("more").focus();
    this.#control("more").setAttribute("aria-expanded", "false");
  }

  async listDevices() {
    this.#control("swap").hidden = (await listDevices()).filter((one) => one.kind === "videoinput").length < 2;
    await fillSpeakers(this.#one("[data-speakers]"), this.speaker, (n) => this.words.speaker_n.replace("{n}", String(n)));
  }

  name() {
    this.#control("sound_only").textContent = this.soundOnly ? this.words.with_picture : this.words.sound_only;
    this.#control("share").textContent = this.screen ? this.words.share_stop : this.words.share;
  }

  /** @param {string} text of the button that changes the camera */
  nameSwap(text) {
    this.#control("swap").textContent = text;
  }

  async toggleSoundOnly() {
    this.soundOnly = !this.soundOnly;
    this.name();
    this.close();
    await this.deeds.call()?.setWithoutPicture("wish", this.soundOnly);
    this.deeds.changed();
  }

  async toggleShare() {
    if (this.screen) await this.stopSharing();
    else if (this.#isFree()) this.photos.choose();
    this.close();
  }

  /** Show a window or the screen, where the browser can. */
  async shareWindow() {
    this.close();
    if (!this.#isFree()) return;
    try {
      const track = await openScreen();
      track.onended = () => void this.stopSharing(); // by the browser's own bar
      await this.#share(track);
    } catch {
      this.deeds.tell(this.words.share_problem);
    }
  }

  /** Whether nobody else shows anything: everybody has room for one shared picture. */
  #isFree() {
    const isFree = !this.deeds.call()?.isSharedByOthers;
    if (!isFree) this.deeds.tell(this.words.share_taken);
    return isFree;
  }

  /** @param {MediaStreamTrack} track */
  async #share(track) {
    if (!this.deeds.call()) {
      track.stop(); // the call was left while it was being chosen: nothing of it may wait for the next one
      this.photos.end();
      return;
    }
    this.screen = track;
    await this.deeds.call()?.shareScreen(track);
    this.name();
    this.deeds.changed();
  }

  async stopSharing() {
    this.photos.end();
    this.screen?.stop();
    this.screen = null;
    await this.deeds.call()?.shareScreen(null);
    this.name();
    this.deeds.changed();
  }

  /** Somebody else showed something a moment before: ours is seen by nobody. */
  async giveWay() {
    await this.stopSharing();
    this.deeds.tell(this.words.share_taken);
  }

  async float() {
    this.close();
    await float(this.deeds.largest()).catch(() => {}); // the browser may refuse while nothing has come yet
  }

  /** Tell a fresh call what was wished before. */
  async resume() {
    const call = this.deeds.call();
    await call?.setWithoutPicture("wish", this.soundOnly);
    if (this.screen) await call?.shareScreen(this.screen);
  }

  end() {
    this.close();
    this.photos.end();
    this.screen?.stop();
    this.screen = null;
    this.soundOnly = false;
    this.name();
    if (document.pictureInPictureElement) void document.exitPictureInPicture().catch(() => {});
  }

  /** @param {string} name */
  #control(name) {
    return this.#one(`[data-do="${name}"]`);
  }

  /** @param {string} selector @returns {HTMLElement} */
  #one(selector) {
    return /** @type {HTMLElement} */ (this.section.querySelector(selector));
  }
}
