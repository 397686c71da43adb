// Draws the pictures of the others: one large for the person, small ones for colleagues.

import { find, get, show } from "./booth-page.js";

const SPEAKS = 0.02;

/** @typedef {{slot: number, participant: string, audio: boolean, video: boolean}} Seated */

export class Remotes {
  /** @param {{words: import("./booth-page.js").Words, name: string}} given */
  constructor({ words, name }) {
    this.words = words;
    this.name = name;
    /** @type {string|null} */
    this.admitted = null;
    /** @type {import("../js/media.js").Slot[]} */
    this.slots = [];
    /** @type {Seated[]} */
    this.people = [];
    /** @type {Map<number, HTMLElement>} slot to tile */
    this.tiles = new Map();
  }

  /** @param {string|null} participant */
  setAdmitted(participant) {
    if (participant === this.admitted) return;
    this.admitted = participant;
    this.draw(this.slots, this.people);
  }

  /** @param {import("../js/media.js").Slot[]} slots @param {Seated[]} people */
  draw(slots, people) {
    this.slots = slots;
    this.people = people;
    const box = get("remotes", HTMLElement);
    for (const [slot, tile] of this.tiles) {
      if (people.some((one) => one.slot === slot)) continue;
      tile.remove();
      this.tiles.delete(slot);
    }
    for (const one of people) {
      const stream = slots[one.slot]?.stream;
      if (stream) this.#drawTile(box, one, stream);
    }
    get("stage-empty", HTMLElement).hidden = this.tiles.size > 0;
  }

  /** @param {HTMLElement} box @param {Seated} one @param {MediaStream} stream */
  #drawTile(box, one, stream) {
    let tile = this.tiles.get(one.slot);
    if (!tile) {
      const copy = document.importNode(get("remote-template", HTMLTemplateElement).content, true);
      tile = find(copy, ".app-remote", HTMLElement);
      this.tiles.set(one.slot, tile);
      box.append(tile);
    }
    const isPerson = one.participant === this.admitted;
    tile.dataset.participant = one.participant;
    tile.classList.toggle("app-remote--main", isPerson || this.people.length === 1);
    const video = find(tile, "video", HTMLVideoElement);
    const name = isPerson ? this.name : this.words.say("colleague");
    video.setAttribute("aria-label", isPerson ? this.words.say("pictureOf", { name }) : this.words.say("colleaguePicture"));
    if (video.srcObject !== stream) video.srcObject = stream;
    video.play().catch(() => {}); // not allowed before the page was touched: the next click plays it
    show(find(tile, ".app-remote__words", HTMLElement), one.video ? "" : this.words.say("pictureOff", { name }));
  }

  /** @param {number[]} levels by slot, 0 to 1 */
  drawLevels(levels) {
    for (const [slot, tile] of this.tiles) tile.classList.toggle("app-remote--speaks", (levels[slot] ?? 0) > SPEAKS);
  }
}
