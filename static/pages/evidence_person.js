// @ts-check
// What the officer asks for, on the person's phone: choose or take it, see it go in words and figures, know it arrived.

import { Upload } from "../js/upload.js";
import { fill } from "../js/words.js";

/** @typedef {"photo" | "video" | "document" | "audio"} Kind */
/** @typedef {{id: string, kind: Kind, note: string, state: string, max_bytes: number, received: number}} Asked */

/** @type {Record<Kind, {accept: string, taken: string}>} originals are wanted: an iPhone converts what is not named */
const ACCEPT = {
  photo: { accept: "image/*,image/heic,image/heif,.heic", taken: "image/*" },
  video: { accept: "video/*", taken: "video/*" },
  document: { accept: "application/pdf,text/plain,image/*,image/heic,.pdf,.txt", taken: "image/*" },
  audio: { accept: "audio/*", taken: "audio/*" },
};
const RATE_OVER_MS = 8000;

/** One request on the page, with the file that is being sent for it. */
class Card {
  /** @param {PersonEvidence} panel @param {Asked} asked */
  constructor(panel, asked) {
    this.panel = panel;
    this.asked = asked;
    const template = /** @type {HTMLTemplateElement} */ (document.getElementById("evidence-request"));
    const copy = /** @type {DocumentFragment} */ (document.importNode(template.content, true));
    this.root = /** @type {HTMLElement} */ (copy.firstElementChild);
    this.root.dataset.request = asked.id;
    /** @type {Upload | null} */
    this.upload = null;
    this.outcome = "";
    this.problem = "";
    /** @type {{at: number, sent: number}[]} */
    this.samples = [];
    const { accept, taken } = ACCEPT[asked.kind];
    this.#input("taken", taken, true);
    this.#input("chosen", accept, false);
    this.#on("capture", () => this.#one("taken").click());
    this.#on("choose", () => this.#one("chosen").click());
    this.#on("cancel", () => this.upload?.cancel());
  }

  get isSending() {
    return this.upload !== null && !this.upload.isOver;
  }

  /** @param {Asked} asked */
  follow(asked) {
    this.asked = asked;
    this.draw();
  }

  draw() {
    const { kind, note, received } = this.asked;
    const say = this.panel.say.bind(this.panel);
    this.#write("what", say(`what_${kind}`));
    this.#show("note", note ? say("note", { note }) : "");
    const busy = this.isSending;
    const stage = busy ? (this.upload?.stage ?? "") : this.outcome;
    const standing = received > 1 ? say("received_more", { count: received }) : received ? say("received") : say("asked");
    const words = stage && stage !== "failed" && !(stage === "received" && received) ? say(stage) : standing;
    this.#write("state", !busy && received ? `${words} ${say("another")}` : words);
    this.root.dataset.state = busy ? "sending" : stage === "quarantined" ? "quarantined" : received ? "received" : "asked";
    this.#show("problem", this.problem);
    this.#one("choices").hidden = busy;
    this.#one("cancel").hidden = !busy || stage === "checking";
    this.#write("capture", say(`capture_${kind}`));
    this.#write("choose", say(`choose_${kind}`));
    this.#one("capture").classList.toggle("govuk-button--secondary", received > 0);
    this.#drawFigures(busy);
  }

  /** @param {boolean} busy */
  #drawFigures(busy) {
    const bar = /** @type {HTMLProgressElement} */ (this.#one("bar"));
    bar.hidden = !busy;
    if (!busy || !this.upload) {
      this.#show("figures", "");
      return;
    }
    const total = this.upload.file.size;
    bar.max = total;
    bar.value = this.upload.sent;
    const figures = this.panel.figures(this.upload.sent, total);
    bar.setAttribute("aria-label", this.panel.say("figures", figures));
    const left = this.upload.stage === "sending" ? this.panel.left(this.samples, total) : "";
    this.#show("figures", left ? this.panel.say("figures_left", { ...figures, left }) : this.panel.say("figures", figures));
  }

  /** @param {File} file */
  #send(file) {
    this.outcome = "";
    this.problem = "";
    this.samples = [];
    const most = this.asked.max_bytes;
    if (file.size === 0) this.problem = this.panel.say("failed_empty");
    if (file.size > most) this.problem = this.panel.said("failed_large", { most: this.panel.size(most) });
    if (!this.problem) this.#begin(file);
    this.draw();
  }

  /** @param {File} file */
  #begin(file) {
    const { files, requests, items } = this.panel.given;
    const upload = new Upload(file, { files, request: `${requests}/${this.asked.id}`, items });
    this.upload = upload;
    upload.addEventListener("progress", () => {
      const now = Date.now();
      this.samples = [...this.samples.filter(({ at }) => now - at < RATE_OVER_MS), { at: now, sent: upload.sent }];
      this.draw();
    });
    upload.addEventListener("stage", (event) => {
      const { stage, code } = /** @type {CustomEvent} */ (event).detail;
      if (stage === "waiting") this.samples = [];
      if (stage === "failed") this.problem = this.panel.said(`failed_${code}`, { most: this.panel.size(this.asked.max_bytes) });
      if (upload.isOver) this.outcome = stage;
      this.draw();
      this.panel.tell(stage === "failed" ? "" : this.panel.say(stage));
      this.panel.draw();
    });
    this.panel.tell(this.panel.say("sending"));
    void upload.start();
  }

  /** @param {"taken" | "chosen"} name @param {string} accept @param {boolean} now */
  #input(name, accept, now) {
    const input = /** @type {HTMLInputElement} */ (this.#one(name));
    input.accept = accept;
    if (now) input.setAttribute("capture", "environment");
    input.addEventListener("change", () => {
      const file = input.files?.[0];
      if (file && !this.isSending) this.#send(file);
      input.value = ""; // the same file may be chosen again
    });
  }

  /** @param {string} name @param {() => void} act */
  #on(name, act) {
    this.#one(name).addEventListener("click", act);
  }

  /** @param {string} name @param {string} text */
  #write(name, text) {
    const element = this.#one(name);
    if (element.textContent !== text) element.textContent = text;
  }

  /** @param {string} name @param {string} text */
  #show(name, text) {
    this.#write(name, text);
    this.#one(name).hidden = text === "";
  }

  /** @param {string} name @returns {HTMLElement} */
  #one(name) {
    return /** @type {HTMLElement} */ (this.root.querySelector(`.app-evidence__${name}`));
  }
}

export class PersonEvidence {
  /** @param {HTMLElement} root the element [data-evidence] @param {HTMLElement} stage is told `data-sending="open"` */
  constructor(root, stage) {
    this.root = root;
    this.stage = stage;
    /** @type {{files: string, requests: string, items: string, language: string, phone: string, words: Record<string, string>}} */
    this.given = JSON.parse(document.getElementById("evidence-data")?.textContent ?? "{}");
    /** @type {Map<string, Card>} */
    this.cards = new Map();
    this.closed = "";
    this.numbers = new Intl.NumberFormat(this.given.language === "cy" ? "cy-GB" : "en-GB", { maximumFractionDigits: 1 });
    this.#one("close").addEventListener("click", () => {
      this.closed = this.#names();
      this.draw();
    });
  }

  get isSending() {
    return [...this.cards.values()].some((card) => card.isSending);
  }

  /** What the room's snapshot says is asked for; undefined: nothing may be shown now. @param {Asked[] | undefined} list */
  follow(list) {
    if (!list) return;
    const before = this.cards.size;
    for (const [id, card] of this.cards) {
      if (list.some((asked) => asked.id === id)) continue;
      card.upload?.drop(); // withdrawn
      card.root.remove();
      this.cards.delete(id);
    }
    for (const asked of list) {
      const card = this.cards.get(asked.id) ?? new Card(this, asked);
      if (!this.cards.has(asked.id)) this.#one("list").prepend(card.root);
      this.cards.set(asked.id, card);
      card.follow(asked);
    }
    this.draw();
    if (this.cards.size > before && !this.root.hidden) {
      const newest = list[list.length - 1];
      this.tell(`${this.say("asked")} ${newest ? this.say(`what_${newest.kind}`) : ""}`);
      this.root.scrollTop = 0;
    }
  }

  draw() {
    const cards = [...this.cards.values()];
    const open = cards.some((card) => card.isSending || !card.asked.received || card.problem !== "");
    this.#one("close").hidden = open;
    const hidden = cards.length === 0 || (!open && this.closed === this.#names());
    this.root.hidden = hidden;
    this.stage.dataset.sending = hidden ? "" : "open";
  }

  /** Stop and forget: the person leaves this page. */
  close() {
    for (const card of this.cards.values()) card.upload?.drop();
    this.cards.clear();
    this.#one("list").replaceChildren();
    this.draw();
  }

  /** The call has ended: what is on its way goes on, shown in `place`. @param {HTMLElement} place */
  moveTo(place) {
    for (const [id, card] of this.cards) {
      if (card.isSending) continue;
      card.root.remove();
      this.cards.delete(id);
    }
    if (this.cards.size) place.append(this.root);
    this.draw();
  }

  /** Tell a screen reader. @param {string} text */
  tell(text) {
    this.#one("said").textContent = text;
  }

  /** A failure in words, with what to do and the number to ring. @param {string} key @param {Record<string, string>} values */
  said(key, values) {
    return this.say(key in this.given.words ? key : "failed_refused", { phone: this.given.phone, ...values });
  }

  /** @param {string} key @param {Record<string, string | number>} [values] */
  say(key, values = {}) {
    return fill(this.given.words[key], values);
  }

  /** @param {number} sent @param {number} total both in bytes; the unit is the total's */
  figures(sent, total) {
    const { unit, divisor } = this.#unit(total);
    return { sent: this.numbers.format(this.#round(sent / divisor)), total: this.numbers.format(this.#round(total / divisor)), unit };
  }

  /** @param {number} bytes */
  size(bytes) {
    const { unit, divisor } = this.#unit(bytes);
    return `${this.numbers.format(this.#round(bytes / divisor))} ${unit}`;
  }

  /** @param {{at: number, sent: number}[]} samples @param {number} total */
  left(samples, total) {
    const [first, last] = [samples[0], samples[samples.length - 1]];
    if (!first || !last || last.at - first.at < 1000 || last.sent <= first.sent) return "";
    const seconds = ((total - last.sent) * (last.at - first.at)) / (last.sent - first.sent) / 1000;
    if (seconds < 50) return this.say("left_seconds", { number: seconds < 5 ? 5 : Math.ceil(seconds / 10) * 10 });
    const minutes = Math.round(seconds / 60);
    return minutes <= 1 ? this.say("left_minute") : this.say("left_minutes", { number: minutes });
  }

  /** @param {number} bytes */
  #unit(bytes) {
    if (bytes >= 1e9) return { unit: this.say("gb"), divisor: 1e9 };
    return bytes >= 1e6 ? { unit: this.say("mb"), divisor: 1e6 } : { unit: this.say("kb"), divisor: 1e3 };
  }

  /** @param {number} value small ones keep a decimal */
  #round(value) {
    return value < 10 ? Math.round(value * 10) / 10 : Math.round(value);
  }

  #names() {
    return [...this.cards.keys()].sort().join();
  }

  /** @param {string} name @returns {HTMLElement} */
  #one(name) {
    return /** @type {HTMLElement} */ (this.root.querySelector(`[data-evidence-${name}]`));
  }
}
