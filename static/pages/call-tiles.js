// @ts-check
// Draws the others of a call: who speaks large, who signs always large, a shared screen before faces. For booth and phone.

import { arrange, follow, nobody, SPEAKS } from "../js/layout.js";

/** @typedef {{id: string, name: string, role?: string, signs?: boolean, lost?: boolean, rank: number}} Person `lost`: nothing is heard of them now; `rank`: the lowest is large while nobody has spoken */
/** @typedef {{muted: boolean, camera_off: boolean, audio_only: boolean}} Sending */
/** @typedef {{slot: number, participant: string, audio: boolean, video: boolean, screen: boolean}} Seated */

/**
 * Everybody in the call but us, as tiles name them; who is first is large until somebody speaks.
 * @param {any} room the snapshot
 * @param {(person: any) => boolean} isFirst
 * @param {{id: string|null, name: string}} alone the other one of a call of two, while the room tells of nobody
 * @returns {Person[]}
 */
export function othersIn(room, isFirst, alone) {
  const others = (room.people ?? []).filter((/** @type {any} */ person) => !person.is_self);
  if (!others.length) return alone.id ? [{ id: alone.id, name: alone.name, rank: 0 }] : [];
  return others.map((/** @type {any} */ person) => ({
    id: person.id,
    name: person.name_to_show,
    signs: person.signs === true,
    lost: person.lost === true,
    rank: isFirst(person) ? 0 : 1,
  }));
}

export class Tiles {
  /**
   * @param {HTMLElement} box
   * @param {{say: (key: string, values: Record<string, string>) => string, stranger: string, onBlocked?: (blocked: boolean) => void}} given
   *   stranger: what somebody is called of whom no name is known; onBlocked: the browser wants a press before sound plays
   */
  constructor(box, { say, stranger, onBlocked = () => {} }) {
    this.box = box;
    this.say = say;
    this.stranger = stranger;
    this.onBlocked = onBlocked;
    /** @type {Map<string, Person>} */
    this.people = new Map();
    /** @type {Record<string, Sending>} */
    this.sending = {};
    /** @type {import("../js/media.js").Slot[]} */
    this.slots = [];
    /** @type {Seated[]} */
    this.seated = [];
    /** @type {Map<number, Tile>} */
    this.tiles = new Map();
    this.floor = nobody();
    this.speaker = "";
  }

  /** @param {Person[]} people @param {Record<string, Sending>} sending @param {string} me */
  know(people, sending, me) {
    this.box.dataset.pictures = sending[me]?.audio_only ? "off" : "on"; // a face must not stand still on a screen
    this.people = new Map(people.map((one) => [one.id, one]));
    this.sending = sending;
    this.draw(this.slots, this.seated);
  }

  /** @param {import("../js/media.js").Slot[]} slots @param {Seated[]} seated */
  draw(slots, seated) {
    this.slots = slots;
    this.seated = seated.filter((one) => slots[one.slot]);
    for (const [slot, tile] of this.tiles) {
      if (this.seated.some((one) => one.slot === slot)) continue;
      tile.root.remove();
      tile.video.srcObject = null;
      this.tiles.delete(slot);
    }
    for (const one of this.seated) this.#drawTile(one, slots[one.slot].stream);
    this.#place([]);
  }

  /** @param {number[]} levels by slot, 0 to 1 */
  drawLevels(levels) {
    for (const [slot, tile] of this.tiles) tile.root.classList.toggle("app-tile--speaks", (levels[slot] ?? 0) > SPEAKS);
    this.#place(levels);
  }

  /** Play through this loudspeaker from now on. @param {string} device */
  async setSpeaker(device) {
    this.speaker = device;
    await Promise.all([...this.tiles.values()].map((tile) => this.#route(tile)));
  }

  /** Play everything; the browser may have wanted a press first. */
  play() {
    for (const tile of this.tiles.values()) this.#play(tile.video);
  }

  /** The picture shown largest, for a small window of its own. @returns {HTMLVideoElement | null} */
  get largest() {
    return /** @type {HTMLVideoElement | null} */ (this.box.querySelector(".app-tile--large video"));
  }

  get isEmpty() {
    return this.tiles.size === 0;
  }

  clear() {
    this.draw([], []);
  }

  /** @param {Seated} one @param {MediaStream} stream */
  #drawTile(one, stream) {
    let tile = this.tiles.get(one.slot);
    if (!tile) {
      tile = makeTile();
      this.tiles.set(one.slot, tile);
      this.box.append(tile.root);
      void this.#route(tile);
    }
    tile.root.dataset.participant = one.participant;
    tile.root.classList.toggle("app-tile--screen", one.screen);
    const isLost = this.people.get(one.participant)?.lost === true;
    tile.root.dataset.picture = one.video && !isLost ? "on" : "off"; // none comes: the last one must not stand still on a screen
    tile.hadPicture ||= one.video;
    const name = this.people.get(one.participant)?.name ?? this.stranger;
    tile.video.setAttribute("aria-label", this.say(one.screen ? "screenOf" : "pictureOf", { name }));
    if (tile.video.srcObject !== stream) {
      tile.video.srcObject = stream;
      this.#play(tile.video);
    }
    write(tile.name, this.people.size > 1 && !one.screen ? name : "");
    const { hadPicture } = tile;
    tile.words = one.screen ? ["", ""] : [this.#stateOf(one, name, "", hadPicture), this.#stateOf(one, name, "Short", hadPicture)];
    this.#writeState(tile);
  }

  /** A small picture has room for few words. @param {Tile} tile */
  #writeState(tile) {
    const state = tile.words[tile.root.classList.contains("app-tile--large") ? 0 : 1];
    write(tile.state, state);
    tile.state.hidden = state === "";
  }

  /** @param {Seated} one @param {string} name @param {"" | "Short"} form @param {boolean} hadPicture whether one has come before */
  #stateOf(one, name, form, hadPicture) {
    const sends = this.sending[one.participant];
    if (this.people.get(one.participant)?.lost) return this.people.size > 1 ? this.say("lost_now", { name }) : ""; // of one alone the page speaks elsewhere
    if (sends?.audio_only) return this.say(`soundOnlyOf${form}`, { name });
    const parts = [];
    if (sends ? sends.camera_off : !one.video) parts.push(this.say(`pictureOff${form}`, { name }));
    else if (!one.video && hadPicture) parts.push(this.say(`pictureNone${form}`, { name }));
    if (sends?.muted) parts.push(this.say(`mutedOf${form}`, { name }));
    return parts.join(" ");
  }

  /** @param {number[]} levels */
  #place(levels) {
    const seen = this.seated.map((one) => {
      const person = this.people.get(one.participant);
      return { slot: one.slot, participant: one.participant, screen: one.screen, signs: person?.signs ?? false, rank: person?.rank ?? 9 };
    });
    this.floor = follow(this.floor, seen, levels, Date.now());
    const { large, small } = arrange(this.floor, seen);
    this.box.dataset.large = String(large.length);
    this.box.dataset.small = String(small.length);
    this.box.dataset.crowd = seen.length > 1 ? "yes" : "no";
    for (const [slot, tile] of this.tiles) {
      tile.root.classList.toggle("app-tile--large", large.includes(slot));
      this.#writeState(tile);
    }
  }

  /** @param {HTMLVideoElement} video */
  #play(video) {
    video.play().then(
      () => this.onBlocked(false),
      (problem) => {
        if (problem.name === "NotAllowedError") this.onBlocked(true);
      },
    );
  }

  /** @param {Tile} tile */
  async #route(tile) {
    const video = /** @type {any} */ (tile.video);
    if (!video.setSinkId || video.sinkId === this.speaker) return;
    try {
      await video.setSinkId(this.speaker);
    } catch {
      await video.setSinkId("").catch(() => {}); // it was unplugged: better the wrong loudspeaker than none
    }
  }
}

/** @typedef {{root: HTMLElement, video: HTMLVideoElement, name: HTMLElement, state: HTMLElement, words: string[], hadPicture: boolean}} Tile `words`: its state at length, and short */

/** @returns {Tile} */
function makeTile() {
  const root = document.createElement("div");
  root.className = "app-tile";
  const video = document.createElement("video");
  video.className = "app-tile__video";
  video.autoplay = true;
  video.playsInline = true;
  video.dataset.remote = "";
  const name = document.createElement("p");
  name.className = "app-tile__name";
  const state = document.createElement("p");
  state.className = "app-tile__state";
  state.hidden = true;
  root.append(video, name, state);
  return { root, video, name, state, words: ["", ""], hadPicture: false };
}

/** @param {Element} element @param {string} text */
function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
