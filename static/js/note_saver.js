// Saves a text as it is typed, one save at a time, over the version it was read at. Speaks; draws nothing.
//
// Events: "unsaved", "saving", "saved" {savedAt}, "failed" {said}, "conflict" {text, version, savedAt}.
// After "conflict" nothing is saved until settle() says which text goes on.

import { post } from "./post.js";

const QUIET_MS = 700; // typing has paused
const AT_LEAST_MS = 4000; // saved this often even while typing goes on
const RETRY_MS = [1000, 2000, 4000, 8000];

export class NoteSaver extends EventTarget {
  /** @param {{url: string, text: string, version: number}} start */
  constructor({ url, text, version }) {
    super();
    this.url = url;
    this.text = text;
    this.version = version;
    this.saved = text;
    /** @type {string|null} the text on its way */
    this.sending = null;
    /** @type {string|null} the text whose answer never came: it may stand on the server all the same */
    this.unsure = null;
    this.conflict = false;
    this.failures = 0;
    /** @type {string|null} */
    this.savedAt = null;
    /** @type {ReturnType<typeof setTimeout>|undefined} */
    this.timer = undefined;
    this.dirtySince = 0;
  }

  get isSaved() {
    return this.text === this.saved && this.sending === null;
  }

  /** @param {string} text what stands in the field now */
  change(text) {
    this.text = text;
    if (this.conflict || this.text === this.saved) return;
    this.dirtySince ||= Date.now();
    this.#tell("unsaved", {});
    this.#saveIn(Math.min(QUIET_MS, Math.max(0, this.dirtySince + AT_LEAST_MS - Date.now())));
  }

  /** Save now rather than when typing has paused. */
  hurry() {
    if (!this.conflict) void this.#save();
  }

  /** The page is going away: send what is not saved, if that still works. */
  flush() {
    if (this.conflict || this.text === this.saved || this.text === this.sending) return;
    clearTimeout(this.timer);
    const version = this.sending === null ? this.version : this.version + 1;
    void post(this.url, { text: this.text, version }, { keepalive: true });
  }

  /**
   * Go on after a conflict, over the version that stands on the server.
   * @param {string} text
   */
  settle(text) {
    this.conflict = false;
    this.text = text;
    this.failures = 0;
    if (text === this.saved) this.#tell("saved", { savedAt: this.savedAt });
    else void this.#save();
  }

  /** @param {number} ms */
  #saveIn(ms) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.#save(), ms);
  }

  async #save() {
    if (this.sending !== null || this.conflict || this.text === this.saved) return;
    clearTimeout(this.timer);
    this.sending = this.text;
    this.dirtySince = 0;
    this.#tell("saving", {});
    const answer = await post(this.url, { text: this.sending, version: this.version });
    const sent = this.sending;
    this.sending = null;
    if (answer.ok) {
      this.failures = 0;
      this.#stands(sent, answer.body);
      if (this.text === this.saved) this.#tell("saved", { savedAt: this.savedAt });
      else this.#saveIn(QUIET_MS);
    } else if (answer.status === 409 && answer.body.note) {
      const theirs = answer.body.note;
      this.#stands(theirs.text, theirs);
      if (theirs.text === this.unsure) return this.#saveIn(0); // our own, and only its answer was lost
      this.conflict = true;
      this.#tell("conflict", { text: theirs.text, version: theirs.version, savedAt: theirs.saved_at });
    } else {
      this.unsure = sent;
      this.#tell("failed", { said: answer.said });
      this.#saveIn(RETRY_MS[Math.min(this.failures++, RETRY_MS.length - 1)] ?? 8000);
    }
  }

  /** @param {string} text @param {{version: number, saved_at: string|null}} note */
  #stands(text, note) {
    this.saved = text;
    this.version = note.version;
    this.savedAt = note.saved_at;
  }

  /** @param {string} type @param {object} detail */
  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
