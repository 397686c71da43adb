// @ts-check
// The statement on the interpreter's own page: the officer's text to read, the witness's language to write, both to sign for.

import { Newest } from "../js/newest.js";
import { post } from "../js/post.js";
import { fill } from "../js/words.js";
import { get, read, show, write } from "./booth-page.js";
import { DraftField, countBoth } from "./statement_field.js";

export class InterpreterStatement {
  /** @param {HTMLElement} stage is told `data-reading="open"` */
  constructor(stage) {
    this.stage = stage;
    this.root = get("interpreting", HTMLElement);
    /** @type {{show: string, words: Record<string, string>}} */
    this.given = read("interpreting-data");
    /** @type {any} */
    this.statement = null;
    this.newest = new Newest(this.given.show, (statement) => this.#draw(statement));
    this.step = ""; // what the page last said is to be done
    this.busy = false;
    this.original = new DraftField("original", { say: (key, values) => this.#say(key, values), clock: () => "" });
    get("interpreting-form", HTMLFormElement).addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#sign();
    });
  }

  /** What the room's snapshot says of the statement; asks for the texts when that has changed. @param {any} mark */
  follow(mark) {
    this.newest.follow(mark);
  }

  /** Hide it and forget the texts. */
  close() {
    this.newest.close();
  }

  async #sign() {
    if (this.busy) return;
    this.busy = true;
    const field = get("interpreting-typed", HTMLInputElement);
    const { id, digest } = this.statement;
    if (!(await this.original.saved(5000))) this.#tell("saveFirst");
    else {
      const answer = await post(`${this.given.show}/${id}/interpretation`, { digest, typed: field.value });
      show(get("interpreting-problem", HTMLElement), answer.ok ? "" : answer.said || this.#say("offline"));
      if (answer.ok) field.value = "";
      else field.focus();
      void this.newest.ask();
    }
    this.busy = false;
  }

  /** @param {string} key */
  #tell(key) {
    show(get("interpreting-problem", HTMLElement), this.#say(key));
  }

  /** @param {any} statement */
  #draw(statement) {
    const isNew = statement && this.statement?.id !== statement.id;
    this.statement = statement;
    this.root.hidden = statement === null;
    this.stage.dataset.reading = statement ? "open" : "";
    if (!statement) {
      get("interpreting-text", HTMLElement).replaceChildren();
      this.original.close();
      this.original.field.value = "";
      return;
    }
    const { id, interpreting, state } = statement;
    this.original.follow({ id, url: `${this.given.show}/${id}/original`, text: statement.original, version: statement.original_version });
    this.original.field.lang = interpreting.spoken;
    this.original.field.dir = interpreting.direction;
    write(get("original-count", HTMLElement), this.#say("count", countBoth(statement.paragraphs)));
    write(get("interpreting-witness", HTMLElement), statement.name);
    write(get("interpreting-name", HTMLElement), interpreting.name);
    write(get("interpreting-language", HTMLElement), interpreting.language);
    this.#list("interpreting-text", statement.paragraphs.map((/** @type {any} */ one) => one.text).filter(Boolean), statement.language);
    this.#list("interpreting-exhibits", statement.exhibits.map((/** @type {any} */ one) => `${one.mark} ${one.description}`), statement.language);
    for (const [name, text] of [["interpreting-witness-declaration", statement.declaration.text], ["interpreting-declaration", interpreting.declaration], ["interpreting-provision", interpreting.provision]]) {
      get(name, HTMLElement).lang = statement.language;
      write(get(name, HTMLElement), text);
    }
    this.#lead(isNew, state === "draft" ? "draft" : interpreting.waits ? "read" : "done");
  }

  /**
   * Say what is to be done now, and bring that before the eyes and under the reading finger; nobody is taken away from
   * what they write, unless the witness now reads it.
   * @param {boolean} isNew @param {"draft" | "read" | "done"} stands
   */
  #lead(isNew, stands) {
    const before = isNew ? "" : this.step;
    this.step = stands === "read" && (before === "done" || before === "again") ? "again" : stands;
    write(get("interpreting-said", HTMLElement), this.#say(`said_${this.step}`));
    get("interpreting-form", HTMLFormElement).hidden = stands !== "read";
    if (this.step === before) return;
    show(get("interpreting-problem", HTMLElement), "");
    const title = get("interpreting-title", HTMLElement);
    const writes = document.activeElement === this.original.field;
    if (!writes) title.focus({ preventScroll: true });
    if (!writes || this.step === "read") title.scrollIntoView({ block: "start" });
  }

  /** @param {string} id @param {string[]} texts @param {string} language */
  #list(id, texts, language) {
    const list = get(id, HTMLElement);
    list.lang = language;
    const shown = [...list.children].map((item) => item.textContent);
    if (shown.length === texts.length && shown.every((text, index) => text === texts[index])) return;
    list.replaceChildren(...texts.map((text) => Object.assign(document.createElement("li"), { textContent: text })));
  }

  /** @param {string} key @param {Record<string, string | number>} [values] */
  #say(key, values = {}) {
    return fill(this.given.words[key], values);
  }
}
