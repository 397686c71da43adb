// @ts-check
// The statement in the booth: written and saved as typed, shown to the witness, signed by them, sealed.

import { Newest } from "../js/newest.js";
import { post } from "../js/post.js";
import { fill } from "../js/words.js";
import { find, get, read, show, write } from "./booth-page.js";
import { BackPage } from "./statement_back.js";
import { DraftField, countBoth } from "./statement_field.js";
import { drawSeen } from "./statement_seen.js";

/** @param {{here: string, words: import("./booth-page.js").Words, listens: boolean}} given listens: shown, never written */
export function startStatement({ here, words, listens }) {
  return new OfficerStatement(here, words, listens);
}

class OfficerStatement {
  /** @param {string} here address of the appointment @param {import("./booth-page.js").Words} words of the page @param {boolean} listens */
  constructor(here, words, listens) {
    this.listens = listens;
    this.all = `${here}/statements`;
    this.words = words;
    /** @type {Record<string, string>} */
    this.own = read("statement-words");
    /** @type {any} */
    this.statement = null;
    this.newest = new Newest(
      this.all,
      (statement) => this.#draw(statement),
      () => {}, // what is being written stays on the page
    );
    this.newest.mark = ""; // whatever the room says first is news
    this.begun = ""; // the statement begun on this page whose field waits to be shown and written in
    this.doing = 0; // deeds on their way: what is read meanwhile may be older than what was just pressed
    /** @type {Promise<unknown>} one deed after the other: leaving a field and pressing a button are two at once */
    this.line = Promise.resolve();
    const said = { say: (/** @type {string} */ key, /** @type {any} */ values) => this.#sayOf(key, values), clock: (/** @type {string} */ iso) => words.clock(iso) };
    this.text = new DraftField("statement", said);
    this.original = new DraftField("original", said);
    this.back = new BackPage(said.say);
    get("statement-begin", HTMLButtonElement).addEventListener("click", () => void this.#begin());
    get("statement-offer", HTMLButtonElement).addEventListener("click", () => void this.#offer());
    get("statement-take-back", HTMLButtonElement).addEventListener("click", () => void this.#do("take-back", {}));
    get("statement-live", HTMLInputElement).addEventListener("change", (event) => void this.#do("live", { live: /** @type {HTMLInputElement} */ (event.target).checked }));
    get("statement-exhibit-form", HTMLFormElement).addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#addExhibit();
    });
    get("statement-reading-form", HTMLFormElement).addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#certify();
    });
    get("interpretation-form", HTMLFormElement).addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#interpreted();
    });
    for (const id of ["statement-name", "statement-age", "statement-language", "statement-reader", "interpreting-name", "interpreting-spoken"]) {
      get(id, HTMLElement).addEventListener("change", () => void this.#saveHeading());
    }
    void this.newest.ask();
  }

  /** Whether a statement waits for its signature. */
  get isOpen() {
    return !this.listens && this.statement !== null && ["draft", "read"].includes(this.statement.state);
  }

  /** What the room's snapshot says of the statement, and who could interpret. @param {any} mark @param {{role: string, name_to_show: string}[]} people */
  follow(mark, people) {
    this.#suggest(people.filter((one) => one.role === "interpreter").map((one) => one.name_to_show));
    if (this.newest.hears(mark)) void this.newest.ask();
  }

  /** Wait until both texts are saved; false when that did not happen in time. @param {number} withinMs */
  async saved(withinMs) {
    return (await Promise.all([this.text.saved(withinMs), this.original.saved(withinMs)])).every(Boolean);
  }

  /** @param {string} deed @param {object} body @returns {Promise<boolean>} */
  async #do(deed, body) {
    const { id } = this.statement ?? {};
    if (!id) return false;
    this.doing++;
    const done = this.line.then(async () => {
      const { mark } = this.newest;
      const answer = await post(`${this.all}/${id}/${deed}`, body);
      this.doing--;
      return this.#hear(answer, mark);
    });
    this.line = done;
    return done;
  }

  /** @param {import("../js/post.js").Answer} answer @param {string} mark the room's word when it was asked */
  #hear(answer, mark) {
    this.#tell(answer.ok ? "" : answer.said || this.words.say("offline"));
    if (answer.ok && this.newest.mark === mark) this.newest.take(answer.body);
    else void this.newest.ask();
    return answer.ok;
  }

  async #begin() {
    const { mark } = this.newest;
    const answer = await post(this.all, {});
    if (answer.ok) this.begun = answer.body.id;
    this.#hear(answer, mark);
  }

  /** What stands in the fields is what they will read: it is saved first, also an exhibit that was not added yet. */
  async #offer() {
    if (!(await this.saved(5000))) return this.#tell(this.#say("saveFirst"));
    if (!(await this.#saveHeading())) return;
    const isTyped = get("statement-mark", HTMLInputElement).value.trim() || get("statement-description", HTMLInputElement).value.trim();
    if (isTyped && !(await this.#addExhibit())) return;
    await this.#do("offer", {});
  }

  /** @returns {Promise<boolean>} */
  async #saveHeading() {
    const age = get("statement-age", HTMLInputElement).value.trim();
    if (age && !(Number(age) >= 1 && Number(age) <= 17)) {
      this.#tell(this.#say("badAge"));
      return false;
    }
    return this.#do("heading", {
      name: get("statement-name", HTMLInputElement).value,
      age: age ? Number(age) : null,
      reader: get("statement-reader", HTMLInputElement).value,
      interpreter: get("interpreting-name", HTMLInputElement).value,
      spoken: get("interpreting-spoken", HTMLSelectElement).value,
      language: get("statement-language", HTMLSelectElement).value,
    });
  }

  /** @returns {Promise<boolean>} */
  async #addExhibit() {
    const [mark, description] = [get("statement-mark", HTMLInputElement), get("statement-description", HTMLInputElement)];
    const sent = { mark: mark.value, description: description.value };
    if (!(await this.#do("exhibits", sent))) return false;
    if (mark.value === sent.mark && description.value === sent.description) mark.value = description.value = ""; // else the next one is being typed
    const { activeElement } = document;
    if (activeElement === document.body || get("statement-exhibit-form", HTMLFormElement).contains(activeElement)) mark.focus(); // who writes on elsewhere is left there
    return true;
  }

  /** The reader signs for the text that stands on this page now. */
  async #certify() {
    const field = get("statement-reading", HTMLInputElement);
    if (await this.#do("reading", { digest: this.statement.digest, typed: field.value })) field.value = "";
  }

  /** The interpreter, beside the officer, signs for both texts that stand on this page now. */
  async #interpreted() {
    const field = get("interpretation-typed", HTMLInputElement);
    if (await this.#do("interpretation", { digest: this.statement.digest, typed: field.value })) field.value = "";
  }

  /** @param {any} statement */
  #draw(statement) {
    const before = this.statement;
    this.statement = statement;
    const { isOpen } = this;
    const begin = get("statement-begin", HTMLButtonElement);
    begin.hidden = isOpen;
    write(begin, this.#say(statement ? "beginFurther" : "begin"));
    get("statement-editor", HTMLElement).hidden = !isOpen;
    get("statement-back", HTMLElement).hidden = statement === null;
    write(get("statement-state", HTMLElement), this.#stateOf(statement));
    const copy = get("statement-copy", HTMLElement);
    copy.hidden = statement?.state !== "signed";
    if (!statement) return;
    find(copy, "a", HTMLAnchorElement).href = `${this.all}/${statement.id}/copy`;
    if (this.listens) return drawSeen(statement, (key, values) => this.#say(key, values));
    if (before?.id !== statement.id) this.back.draw(statement.back_page, `${this.all}/${statement.id}/back-page`);
    if (!isOpen) {
      this.text.close();
      this.original.close();
      return;
    }
    this.#drawEditor(statement, before?.id !== statement.id);
    if (this.begun !== statement.id) return;
    this.begun = "";
    this.text.field.focus();
  }

  /** @param {any} statement @param {boolean} isNew */
  #drawEditor(statement, isNew) {
    const { id } = statement;
    this.text.follow({ id, url: `${this.all}/${id}/text`, text: statement.text, version: statement.text_version });
    this.original.follow({ id, url: `${this.all}/${id}/original`, text: statement.original, version: statement.original_version });
    if (isNew) get("interpreting", HTMLDetailsElement).open = statement.interpreting !== null;
    /** @type {[string, string][]} */
    const fields = [
      ["statement-name", statement.name],
      ["statement-age", String(statement.age ?? "")],
      ["statement-reader", statement.reader],
      ["statement-language", statement.language],
      ["interpreting-name", statement.interpreting?.name ?? ""],
      ["interpreting-spoken", statement.interpreting?.spoken ?? ""],
    ];
    for (const [id, value] of fields) {
      const field = /** @type {HTMLInputElement} */ (get(id, HTMLElement));
      if (!this.doing && document.activeElement !== field && field.value !== value) field.value = value;
    }
    this.text.field.lang = statement.language;
    this.#drawInterpreting(statement);
    if (!this.doing) get("statement-live", HTMLInputElement).checked = statement.live || statement.state === "read";
    get("statement-live", HTMLInputElement).disabled = statement.state === "read";
    get("statement-offer", HTMLElement).hidden = statement.state === "read";
    get("statement-take-back", HTMLElement).hidden = statement.state !== "read";
    get("statement-reading-form", HTMLFormElement).hidden = !(statement.state === "read" && statement.waits_for_reader);
    const certificate = get("statement-reading-words", HTMLElement);
    certificate.lang = statement.language;
    write(certificate, statement.certificate);
    this.#drawExhibits(statement);
    this.#drawChecks(statement);
  }

  /** @param {any} statement */
  #drawInterpreting({ interpreting, state, language, paragraphs }) {
    write(get("original-count", HTMLElement), interpreting ? this.#say("count", countBoth(paragraphs)) : "");
    this.original.field.lang = interpreting?.spoken ?? "";
    this.original.field.dir = interpreting?.direction ?? "auto";
    get("interpretation-form", HTMLFormElement).hidden = !(state === "read" && interpreting?.waits);
    for (const [id, text] of [["interpretation-words", interpreting?.declaration], ["interpretation-provision", interpreting?.provision]]) {
      const element = get(id, HTMLElement);
      element.lang = language;
      write(element, text ?? "");
    }
  }

  /** Offer the names of the interpreters in the call, as everybody there is told them. @param {string[]} names */
  #suggest(names) {
    const list = get("interpreters-here", HTMLDataListElement);
    const offered = [...list.options].map((option) => option.value);
    if (JSON.stringify(offered) !== JSON.stringify(names)) list.replaceChildren(...names.map((value) => Object.assign(document.createElement("option"), { value })));
  }

  /** @param {any} statement */
  #drawExhibits(statement) {
    const marks = statement.unlisted.join(", ");
    show(get("statement-unlisted", HTMLElement), marks ? this.#say("unlisted", { marks }) : "");
    const list = get("statement-exhibits", HTMLElement);
    const drawn = JSON.stringify(statement.exhibits);
    if (list.dataset.drawn === drawn) return; // drawn anew, a button loses the focus, and the press that comes down on it
    list.dataset.drawn = drawn;
    const items = statement.exhibits.map((/** @type {{mark: string, description: string}} */ { mark, description }) => {
      const item = document.createElement("li");
      const strong = document.createElement("strong");
      strong.textContent = mark;
      const button = document.createElement("button");
      button.type = "button";
      button.className = "app-link-button";
      button.textContent = this.#say("remove");
      button.setAttribute("aria-label", this.#say("removeWhich", { mark }));
      button.addEventListener("click", () => void this.#do("exhibits/remove", { mark }));
      item.append(strong, ` ${description} `, button);
      return item;
    });
    list.replaceChildren(...items);
  }

  /** Which paragraphs they say are wrong. @param {any} statement */
  #drawChecks(statement) {
    const wrong = statement.paragraphs.filter((/** @type {any} */ one) => one.answer === "wrong");
    const list = get("statement-checks", HTMLElement);
    list.hidden = wrong.length === 0;
    list.replaceChildren(
      ...wrong.map((/** @type {any} */ one) => {
        const item = document.createElement("li");
        item.className = "app-draft__wrong";
        item.textContent = this.#say("saysWrong", { number: one.number });
        return item;
      }),
    );
  }

  /** @param {any} statement */
  #stateOf(statement) {
    if (!statement) return this.#say("stateNone");
    const { number, state, confirmed } = statement;
    const all = statement.paragraphs.length;
    const time = this.words.clock(statement.signed_at);
    const waits = statement.interpreting?.waits ? "stateInterpret" : statement.waits_for_reader ? "stateReadAloud" : "stateReadAll";
    /** @type {Record<string, string>} */
    const keys = { draft: statement.live ? "stateDraftLive" : "stateDraft", read: all > confirmed ? "stateRead" : waits, sealing: "stateSealing", signed: "stateSigned" };
    return this.#say(keys[state] ?? "stateNone", { number, done: confirmed, all, time });
  }

  /** @param {string} text */
  #tell(text) {
    show(get("statement-problem", HTMLElement), text);
  }

  /** What a text's field says of its saving. @param {string} key @param {Record<string, string | number>} [values] */
  #sayOf(key, values = {}) {
    const shared = { unsaved: "noteUnsaved", saving: "noteSaving", saved: "noteSaved", failed: "noteFailed", offline: "offline" };
    return key in shared ? this.words.say(shared[/** @type {keyof typeof shared} */ (key)], values) : this.#say(key, values);
  }

  /** @param {string} key @param {Record<string, string | number>} [values] */
  #say(key, values = {}) {
    return fill(this.own[key], values);
  }
}
