// Evidence in the booth: ask for something, see it come, look at what came. Draws the snapshot's `evidence`.

import { post } from "../js/post.js";
import { Words, find, get, read, show, write } from "./booth-page.js";

/**
 * @typedef {{id: string, state: "uploading"|"cancelled"|"received"|"quarantined"|"refused", sent: number|null, total: number|null,
 *   bytes: number|null, sha256: string|null, media_type: string|null, digest_given: boolean, screened_out: boolean, at: string, told_at: string|null}} Item
 * @typedef {{id: string, kind: string, note: string, state: "open"|"uploading"|"received"|"quarantined"|"withdrawn", at: string, items: Item[]}} Asked
 */

/**
 * @typedef {{state: "waiting"|"done"|"none", picture: boolean, says: string, place_says: string, facts: null | {taken_at: string|null, camera: string|null,
 *   where: null | {latitude: number, longitude: number, within_metres: number|null}, place: "given"|"removed"|"absent"|"nothing"}}} Media
 */

const STALLED_MS = 15_000;
const MOST_LOOKS = 24;

export class OfficerEvidence {
  /** @param {{here: string, words: Words, language: string, timezone: string, ahead: number}} given */
  constructor({ here, words, language, timezone, ahead }) {
    this.here = here;
    this.common = words;
    this.words = new Words({ ...words.words, ...read("evidence-words") }, { language, timezone });
    this.numbers = new Intl.NumberFormat(language === "cy" ? "cy-GB" : "en-GB", { maximumFractionDigits: 1 });
    this.ahead = ahead;
    /** @type {Asked[]} */
    this.asked = [];
    this.said = new Map();
    this.isOver = false;
    const form = get("evidence-form", HTMLFormElement);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#ask();
    });
    setInterval(() => this.#draw(), 5000); // what stalls is noticed on the page
  }

  /** @param {{evidence?: Asked[], ended: object|null}} room */
  follow(room) {
    this.isOver = room.ended !== null;
    this.asked = room.evidence ?? [];
    this.#draw();
    this.#announce();
  }

  async #ask() {
    const note = get("evidence-note", HTMLInputElement);
    const button = get("evidence-ask", HTMLButtonElement);
    if (button.disabled) return;
    button.disabled = true;
    const answer = await post(`${this.here}/evidence`, { kind: get("evidence-kind", HTMLSelectElement).value, note: note.value });
    button.disabled = false;
    show(get("evidence-problem", HTMLElement), answer.ok ? "" : answer.said || this.common.say("offline"));
    if (answer.ok) note.value = "";
  }

  /** @param {string} id */
  async #withdraw(id) {
    const answer = await post(`${this.here}/evidence/${id}/withdraw`, {});
    show(get("evidence-problem", HTMLElement), answer.ok ? "" : answer.said || this.common.say("offline"));
  }

  #draw() {
    get("evidence-form", HTMLFormElement).hidden = this.isOver;
    get("evidence-nothing", HTMLElement).hidden = this.asked.length > 0;
    const list = get("evidence-list", HTMLUListElement);
    this.#fit(list, [...this.asked].reverse(), "evidence-asked-template", (element, asked) => this.#drawAsked(element, asked));
  }

  /** @param {HTMLElement} element @param {Asked} asked */
  #drawAsked(element, asked) {
    element.dataset.state = asked.state;
    write(find(element, ".app-asked__what", HTMLElement), this.words.say(asked.kind));
    write(find(element, ".app-asked__state", HTMLElement), this.words.say(asked.state, { time: this.words.clock(asked.at) }));
    show(find(element, ".app-asked__note", HTMLElement), asked.note);
    const withdraw = find(element, ".app-asked__withdraw", HTMLButtonElement);
    withdraw.hidden = this.isOver || !["open", "uploading", "quarantined"].includes(asked.state);
    if (!withdraw.onclick) withdraw.onclick = () => void this.#withdraw(asked.id);
    this.#fit(find(element, ".app-asked__items", HTMLUListElement), asked.items, "evidence-item-template", (item, one) => this.#drawItem(item, one));
  }

  /** @param {HTMLElement} element @param {Item} item */
  #drawItem(element, item) {
    element.dataset.state = item.state;
    const sent = this.#size(item.sent ?? 0);
    const stalls = item.state === "uploading" && Date.now() + this.ahead - Date.parse(item.told_at ?? item.at) > STALLED_MS;
    const values = { sent, total: this.#size(item.total ?? 0), time: this.words.clock(item.at) };
    const state = stalls ? "item_stalled" : item.screened_out ? "item_screened_out" : `item_${item.state}`;
    write(find(element, ".app-item__state", HTMLElement), this.words.say(state, values));
    const bar = find(element, ".app-item__bar", HTMLProgressElement);
    bar.hidden = item.state !== "uploading";
    bar.max = item.total ?? 1;
    bar.value = item.sent ?? 0;
    bar.setAttribute("aria-label", this.words.say("item_uploading", values));
    const isHere = item.state === "received";
    const facts = isHere ? this.words.say("facts", { type: item.media_type ?? "", size: this.#size(item.bytes ?? 0) }) : "";
    write(find(element, ".app-item__facts", HTMLElement), facts);
    const digest = find(element, ".app-item__digest", HTMLElement);
    const compared = this.words.say(item.digest_given ? "checked" : "not_checked");
    write(digest, isHere ? `${this.words.say("digest", { digest: (item.sha256 ?? "").slice(0, 12) })} (${compared})` : "");
    if (item.sha256) digest.title = item.sha256;
    this.#drawLinks(element, item, isHere);
  }

  /** @param {HTMLElement} element @param {Item} item @param {boolean} isHere */
  #drawLinks(element, item, isHere) {
    const save = find(element, ".app-item__save", HTMLAnchorElement);
    const content = `/booth/evidence/${item.id}/content`;
    save.hidden = !isHere;
    if (isHere && save.getAttribute("href") !== content) save.setAttribute("href", content);
    if (isHere) void this.#lookInto(element, item);
    else {
      find(element, ".app-item__preview", HTMLElement).hidden = true;
      find(element, ".app-item__about", HTMLElement).hidden = true;
    }
  }

  /**
   * Ask what the store found in a file until it has looked; the page is drawn every five seconds.
   * @param {HTMLElement} element @param {Item} item
   */
  async #lookInto(element, item) {
    const looks = Number(element.dataset.looks ?? 0);
    if (element.dataset.about || looks >= MOST_LOOKS) return;
    element.dataset.about = "asked";
    element.dataset.looks = String(looks + 1);
    const answer = await fetch(`/booth/evidence/${item.id}/facts`, { headers: { Accept: "application/json" } }).catch(() => null);
    /** @type {Media|null} */
    const media = answer?.ok ? await answer.json().catch(() => null) : null;
    if (media === null || media.state === "waiting") {
      delete element.dataset.about; // the next drawing asks again
      return;
    }
    const lines = [media.says, ...this.#tell(media)].filter(Boolean);
    const about = find(element, ".app-item__about", HTMLUListElement);
    about.replaceChildren(...lines.map((line) => Object.assign(document.createElement("li"), { textContent: line })));
    about.hidden = lines.length === 0;
    if (!media.picture) return;
    const box = find(element, ".app-item__preview", HTMLElement);
    const picture = find(element, ".app-item__picture", HTMLImageElement);
    picture.addEventListener("error", () => (box.hidden = true), { once: true });
    picture.src = `/booth/evidence/${item.id}/preview`;
    box.hidden = false;
  }

  /** @param {Media} media @returns {string[]} what a file says of itself, in sentences */
  #tell({ facts }) {
    if (facts === null) return [];
    const said = [];
    const taken = facts.taken_at ? new Date(`${facts.taken_at.slice(0, 19)}Z`) : null; // the camera's clock, as it stood
    if (taken && !Number.isNaN(taken.getTime())) {
      const language = document.documentElement.lang === "cy" ? "cy-GB" : "en-GB";
      const when = new Intl.DateTimeFormat(language, { dateStyle: "long", timeStyle: "short", timeZone: "UTC" }).format(taken);
      said.push(this.words.say("taken", { when }));
    }
    if (facts.camera) said.push(this.words.say("camera", { camera: facts.camera }));
    const where = facts.where;
    if (where) said.push(this.words.say("where", { latitude: where.latitude.toFixed(5), longitude: where.longitude.toFixed(5) }));
    else said.push(this.words.say(`place_${facts.place}`));
    return said;
  }

  /** Tell a screen reader what changed, once. */
  #announce() {
    for (const item of this.asked.flatMap((asked) => asked.items)) {
      if (this.said.get(item.id) === item.state) continue;
      this.said.set(item.id, item.state);
      const key = `said${item.state[0]?.toUpperCase()}${item.state.slice(1)}`;
      if (key in this.words.words) write(get("evidence-said", HTMLElement), this.words.say(key));
    }
  }

  /**
   * Let a list show these, in order; elements that stay are kept, so that pictures are not fetched again.
   * @template {{id: string}} T
   * @param {HTMLUListElement} list @param {T[]} things @param {string} template @param {(element: HTMLElement, thing: T) => void} draw
   */
  #fit(list, things, template, draw) {
    const shown = new Map([...list.children].map((element) => [element instanceof HTMLElement ? element.dataset.id : "", element]));
    things.forEach((thing, n) => {
      let element = shown.get(thing.id);
      shown.delete(thing.id);
      if (!(element instanceof HTMLElement)) {
        const copy = document.importNode(get(template, HTMLTemplateElement).content, true);
        element = find(copy, "li", HTMLLIElement);
        element.setAttribute("data-id", thing.id);
      }
      draw(/** @type {HTMLElement} */ (element), thing);
      if (list.children[n] !== element) list.insertBefore(element, list.children[n] ?? null);
    });
    for (const gone of shown.values()) gone.remove();
  }

  /** @param {number} bytes */
  #size(bytes) {
    const [unit, divisor] = /** @type {[string, number]} */ (bytes >= 1e9 ? ["gb", 1e9] : bytes >= 1e6 ? ["mb", 1e6] : ["kb", 1e3]);
    const value = bytes / divisor;
    return `${this.numbers.format(value < 10 ? Math.round(value * 10) / 10 : Math.round(value))} ${this.words.say(unit)}`;
  }
}
