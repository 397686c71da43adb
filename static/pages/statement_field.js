// @ts-check
// One text of a statement on the page: saved as typed; when another window saved in between, both are shown.

import { NoteSaver } from "../js/note_saver.js";
import { get, write } from "./booth-page.js";

const MOST_CHARACTERS = 40000;

/** @typedef {(key: string, values?: Record<string, string | number>) => string} Say keys: unsaved, saving, saved {time}, failed {message}, tooLong {count}, conflict {time} */

export class DraftField {
  /** @param {string} prefix of the elements' ids @param {{say: Say, clock: (iso: string) => string}} words */
  constructor(prefix, { say, clock }) {
    this.prefix = prefix;
    this.say = say;
    this.clock = clock;
    /** @type {NoteSaver | null} */
    this.saver = null;
    this.id = ""; // of the statement it belongs to
    this.field = this.#area("text");
    this.field.addEventListener("input", () => this.#typed());
    const settle = (/** @type {(mine: string, theirs: string) => string} */ choose) => () => this.#settle(choose(this.field.value, this.#area("theirs").value));
    this.#element("both").addEventListener("click", settle((mine, theirs) => `${theirs}\n\n${mine}`));
    this.#element("mine").addEventListener("click", settle((mine) => mine));
    this.#element("use-theirs").addEventListener("click", settle((_, theirs) => theirs));
    addEventListener("pagehide", () => this.saver?.flush());
    addEventListener("beforeunload", (event) => {
      if (!this.isSaved) event.preventDefault();
    });
  }

  get isSaved() {
    return this.saver?.isSaved ?? true;
  }

  /**
   * Hold what stands at the server; what is being typed here is never overwritten.
   * @param {{id: string, url: string, text: string, version: number}} now
   */
  follow(now) {
    const isNew = !this.saver || this.id !== now.id;
    if (isNew || (this.saver?.isSaved && !this.saver.conflict && now.version > this.saver.version)) this.#start(now);
  }

  /** There is nothing to write any more. */
  close() {
    this.saver = null;
  }

  /** Wait until the text is saved; false when that did not happen in time. @param {number} withinMs */
  async saved(withinMs) {
    const until = Date.now() + withinMs;
    this.saver?.hurry();
    while (!this.isSaved && Date.now() < until) await new Promise((resolve) => setTimeout(resolve, 50));
    return this.isSaved;
  }

  /** @param {{id: string, url: string, text: string, version: number}} now */
  #start({ id, url, text, version }) {
    const saver = new NoteSaver({ url, text, version });
    this.id = id;
    this.saver = saver;
    if (this.field.value !== text) this.field.value = text;
    this.#element("conflict").hidden = true;
    const tell = (/** @type {string} */ said) => this.saver === saver && write(this.#element("save"), said);
    saver.addEventListener("unsaved", () => tell(this.say("unsaved")));
    saver.addEventListener("saving", () => tell(this.say("saving")));
    saver.addEventListener("saved", (event) => tell(this.say("saved", { time: this.clock(detail(event).savedAt) })));
    saver.addEventListener("failed", (event) => tell(this.say("failed", { message: detail(event).said || this.say("offline") })));
    saver.addEventListener("conflict", (event) => {
      this.#area("theirs").value = detail(event).text;
      this.#element("conflict").hidden = false;
      write(this.#element("conflict-text"), this.say("conflict", { time: this.clock(detail(event).savedAt) }));
    });
  }

  #typed() {
    const over = this.field.value.length - MOST_CHARACTERS;
    if (over > 0) write(this.#element("save"), this.say("tooLong", { count: over }));
    else this.saver?.change(this.field.value);
  }

  /** @param {string} text */
  #settle(text) {
    this.#element("conflict").hidden = true;
    this.field.value = text;
    this.field.focus();
    this.saver?.settle(text);
  }

  /** @param {string} name */
  #element(name) {
    return get(`${this.prefix}-${name}`, HTMLElement);
  }

  /** @param {string} name */
  #area(name) {
    return get(`${this.prefix}-${name}`, HTMLTextAreaElement);
  }
}

/** @param {Event} event */
function detail(event) {
  return /** @type {CustomEvent} */ (event).detail;
}

/** How many paragraphs are written in the language of the witness, and how many in the other. @param {{text: string, original: string}[]} paragraphs */
export function countBoth(paragraphs) {
  return { done: paragraphs.filter((one) => one.original).length, all: paragraphs.filter((one) => one.text).length };
}
