// @ts-check
// The statement on the interpreter's own page: the officer's text to read, the witness's language to write, both to sign for.

import { Newest } from "../js/newest.js";
import { post } from "../js/post.js";
import { fill } from "../js/words.js";
import { get, read, show, write } from "./booth-page.js";
import { DraftField } from "./statement_field.js";

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
      else get("interpreting-problem", HTMLElement).scrollIntoView({ block: "nearest" });
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
    write(get("interpreting-witness", HTMLElement), statement.name);
    write(get("interpreting-name", HTMLElement), interpreting.name);
    write(get("interpreting-language", HTMLElement), interpreting.language);
    this.#list("interpreting-text", statement.paragraphs.map((/** @type {any} */ one) => one.text).filter(Boolean), statement.language);
    this.#list("interpreting-exhibits", statement.exhibits.map((/** @type {any} */ one) => `${one.mark} ${one.description}`), statement.language);
    for (const [name, text] of [["interpreting-witness-declaration", statement.declaration.text], ["interpreting-declaration", interpreting.declaration], ["interpreting-provision", interpreting.provision]]) {
      get(name, HTMLElement).lang = statement.language;
      write(get(name, HTMLElement), text);
    }
    const said = state === "draft" ? "said_draft" : interpreting.waits ? "said_read" : "said_done";
    write(get("interpreting-said", HTMLElement), this.#say(said));
    get("interpreting-form", HTMLFormElement).hidden = said !== "said_read";
    if (isNew) get("interpreting-title", HTMLElement).focus({ preventScroll: true });
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
