// @ts-check
// The statement on the person's phone: shown live and large, confirmed paragraph by paragraph, declared, signed.

import { Newest } from "../js/newest.js";
import { post } from "../js/post.js";
import { fill } from "../js/words.js";
import { onPress } from "./presses.js";
import { SignatureField } from "./signature_field.js";

/** @typedef {{number: number, text: string, original: string, key: string, answer: "right" | "wrong" | null}} Paragraph */
/** @typedef {{name: string, spoken: string, direction: string, waits: boolean}} Interpreting */
/**
 * @typedef {{id: string, number: number, state: "draft" | "read" | "sealing" | "signed", version: number, digest: string,
 *   name: string, age: number | null, reader: string, waits_for_reader: boolean, interpreting: Interpreting | null, paragraphs: Paragraph[], confirmed: number, language: string,
 *   exhibits: {mark: string, description: string}[], declaration: {text: string, provision: string}, copies: number[]}} Statement
 */

export class PersonStatement {
  /** @param {HTMLElement} root the element [data-statement] @param {HTMLElement} stage is told `data-reading="open"` */
  constructor(root, stage) {
    this.root = root;
    this.stage = stage;
    /** @type {{show: string, answer: string, sign: string, words: Record<string, string>}} */
    this.given = JSON.parse(document.getElementById("statement-data")?.textContent ?? "{}");
    /** @type {Statement | null} */
    this.statement = null;
    this.newest = new Newest(this.given.show, (statement) => this.#draw(statement));
    /** @type {Promise<void>} one deed after the other: a press while the one before is on a slow way is not lost */
    this.line = Promise.resolve();
    this.list = this.#one("paragraphs");
    this.form = this.#one("form");
    this.declared = /** @type {HTMLInputElement} */ (this.#one("declared"));
    this.typed = /** @type {HTMLInputElement} */ (this.#one("typed"));
    this.pad = new SignatureField(/** @type {HTMLCanvasElement} */ (this.#one("pad")));
    onPress(this.list, "button[data-answer]", ({ dataset, parentElement }) => {
      this.#answer(/** @type {HTMLElement | null} */ (parentElement?.closest("li"))?.dataset.key ?? "", dataset.answer ?? "");
    });
    this.#one("clear").addEventListener("click", () => this.pad.clear());
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#sign();
    });
  }

  /** What the room's snapshot says of the statement; asks for the text when that has changed. @param {any} mark */
  follow(mark) {
    this.newest.follow(mark);
  }

  /** Hide it and forget the text: the person leaves. */
  close() {
    this.newest.close();
  }

  /** @param {Statement | null} statement */
  #draw(statement) {
    const before = this.statement;
    this.statement = statement;
    this.root.hidden = statement === null;
    this.stage.dataset.reading = statement ? "open" : "";
    if (!statement) {
      this.list.replaceChildren();
      this.#forgetSignature();
      return;
    }
    const wasRead = before?.id === statement.id && before.state === "read";
    const changed = wasRead && statement.state === "read" && before.digest !== statement.digest;
    if (changed || before?.id !== statement.id) this.#forgetSignature();
    if (changed) this.#tell(this.#say("changed"));
    else if (before?.id !== statement.id || before.state !== statement.state) this.#tell("");
    this.#write("title", this.#say(`title_${statement.state}`));
    this.#write("said", this.#saidOf(statement));
    this.#write("name", statement.name);
    this.#one("age-row").hidden = statement.age === null;
    this.#write("age", String(statement.age ?? ""));
    this.#drawParagraphs(statement);
    this.#drawExhibits(statement);
    this.#one("reader").hidden = statement.reader === "";
    this.#write("reader", this.#say("reader", { name: statement.reader }));
    this.#one("interpreter").hidden = !statement.interpreting?.name;
    this.#write("interpreter", this.#say("interpreter", { name: statement.interpreting?.name ?? "" }));
    this.#write("declaration", statement.declaration.text);
    this.#write("provision", statement.declaration.provision);
    for (const name of ["exhibits", "declaration", "provision"]) this.#one(name).lang = statement.language;
    const wasConfirmed = before?.id === statement.id && before.confirmed === before.paragraphs.length;
    const waits = statement.waits_for_reader || (statement.interpreting?.waits ?? false);
    const mayNotSign = statement.state !== "read" || statement.confirmed < statement.paragraphs.length || waits;
    const isNext = this.form.hidden && !mayNotSign && before?.state === "read"; // the last paragraph was just confirmed
    this.form.hidden = mayNotSign;
    this.#one("text").hidden = statement.state === "signed";
    this.#drawCopies(statement);
    this.pad.fit();
    if (before?.id !== statement.id || before.state !== statement.state) {
      this.root.scrollTop = 0;
      this.#one("title").focus({ preventScroll: true });
    } else if (isNext) this.#leadTo(this.#one("declaration-title"));
    else if (waits && !wasConfirmed && statement.confirmed === statement.paragraphs.length) this.#leadTo(this.#one("title"));
  }

  /** Bring the next step before the eyes and under the reading finger. @param {HTMLElement} heading */
  #leadTo(heading) {
    heading.focus({ preventScroll: true });
    heading.scrollIntoView({ block: "start" });
  }

  /** @param {Statement} statement */
  #saidOf(statement) {
    if (statement.state !== "read") return this.#say(`said_${statement.state}`);
    if (statement.paragraphs.some((one) => one.answer === "wrong")) return this.#say("said_wrong");
    const all = statement.paragraphs.length;
    const { interpreting } = statement;
    const waits = interpreting?.waits ? "said_interpreted" : statement.waits_for_reader ? "said_aloud" : "said_all";
    const name = interpreting?.waits ? interpreting.name : statement.reader;
    return this.#say(statement.confirmed < all ? "said_read" : waits, { done: statement.confirmed, all, name });
  }

  /** Keep the elements of paragraphs that stayed, so that focus and place are not lost. @param {Statement} statement */
  #drawParagraphs(statement) {
    /** @type {Map<string, HTMLElement>} */
    const shown = new Map([...this.list.children].map((item) => [/** @type {HTMLElement} */ (item).dataset.key ?? "", /** @type {HTMLElement} */ (item)]));
    statement.paragraphs.forEach((paragraph, index) => {
      const item = shown.get(paragraph.key) ?? this.#newParagraph(paragraph);
      shown.delete(paragraph.key);
      if (this.list.children[index] !== item) this.list.insertBefore(item, this.list.children[index] ?? null);
      item.dataset.answer = paragraph.answer ?? "";
      this.#drawLanguages(item, paragraph, statement);
      const group = /** @type {HTMLElement} */ (item.querySelector("[role=group]"));
      group.hidden = statement.state !== "read" || isMissing(paragraph, statement);
      group.setAttribute("aria-label", this.#say("paragraph", { number: paragraph.number }));
      for (const button of group.querySelectorAll("button")) {
        button.setAttribute("aria-pressed", String(button.dataset.answer === paragraph.answer));
      }
    });
    for (const gone of shown.values()) gone.remove();
  }

  /**
   * The text they sign, and behind it its translation when somebody interprets.
   * @param {HTMLElement} item @param {Paragraph} paragraph @param {Statement} statement
   */
  #drawLanguages(item, paragraph, statement) {
    const { text, original } = paragraph;
    const { interpreting, language } = statement;
    const [words, translation] = item.querySelectorAll("p");
    const behind = item.querySelector("details");
    const summary = item.querySelector("summary span");
    if (!words || !translation || !behind || !summary) return;
    const missing = isMissing(paragraph, statement);
    const shown = missing ? this.#say("untranslated") : interpreting ? original : text;
    if (words.textContent !== shown) words.textContent = shown;
    words.lang = missing ? document.documentElement.lang : interpreting?.spoken || language;
    words.dir = missing ? "" : (interpreting?.direction ?? "");
    behind.hidden = interpreting === null || text === "";
    translation.textContent = interpreting ? text : "";
    translation.lang = language;
    summary.textContent = this.#say(`translation_${language}`);
  }

  /** @param {Paragraph} paragraph */
  #newParagraph(paragraph) {
    const template = /** @type {HTMLTemplateElement} */ (document.getElementById("statement-paragraph"));
    const item = /** @type {HTMLElement} */ (document.importNode(template.content, true).querySelector("li"));
    item.dataset.key = paragraph.key;
    return item;
  }

  /** @param {Statement} statement */
  #drawExhibits({ exhibits }) {
    this.#one("exhibits-box").hidden = exhibits.length === 0;
    this.#one("exhibits").replaceChildren(
      ...exhibits.map(({ mark, description }) => {
        const item = document.createElement("li");
        const strong = document.createElement("strong");
        strong.textContent = mark;
        item.append(strong, ` ${description}`);
        return item;
      }),
    );
  }

  /** @param {Statement} statement */
  #drawCopies({ copies }) {
    const box = this.#one("copies");
    box.hidden = copies.length === 0;
    const items = copies.map((number) => {
      const item = document.createElement("li");
      const link = document.createElement("a");
      link.className = "govuk-link app-big-link";
      link.href = `${this.given.show}/${number}/copy`;
      link.textContent = this.#say("copy", { number });
      item.append(link);
      return item;
    });
    const warning = document.createElement("li");
    warning.className = "govuk-hint";
    warning.textContent = this.#say("copy_warning");
    box.replaceChildren(...items, warning);
  }

  /** @param {string} key @param {string} answer */
  #answer(key, answer) {
    if (this.statement) void this.#do(this.given.answer, { statement: this.statement.id, paragraph: key, answer });
  }

  /** @param {string} address @param {object} body */
  #do(address, body) {
    this.line = this.line.then(async () => {
      const { mark } = this.newest;
      this.#hear(await post(address, body), mark);
    });
    return this.line;
  }

  async #sign() {
    const button = /** @type {HTMLButtonElement} */ (this.#one("sign"));
    if (button.disabled || !this.statement) return;
    const typed = this.typed.value.trim();
    const signature = this.pad.read() ?? (typed ? { typed } : null);
    if (!this.declared.checked) return this.#tell(this.#say("declare"), this.declared);
    if (!signature) return this.#tell(this.#say("sign"), this.typed.value ? this.typed : null);
    button.disabled = true;
    this.#write("said", this.#say("signing"));
    const { id, digest } = this.statement;
    await this.#do(this.given.sign, { statement: id, digest, declared: true, signature });
    button.disabled = false;
  }

  /**
   * Draw what an answer holds: the statement as it stands, or why it was refused.
   * @param {import("../js/post.js").Answer} said @param {string} mark the room's word when it was asked
   */
  #hear(said, mark) {
    if (this.newest.mark === "null") return; // it was taken away meanwhile, or the person has left
    const statement = said.ok ? said.body : said.body.statement;
    if (said.ok) this.#tell("");
    if (this.newest.mark !== mark) void this.newest.ask(); // the room has moved on meanwhile: the answer may be older than that
    else if (statement) this.newest.take(statement);
    if (this.statement) this.#write("said", this.#saidOf(this.statement));
    if (said.ok) return;
    this.#forgetTick();
    this.#tell(said.said || this.#say("offline"));
  }

  #forgetTick() {
    this.declared.checked = false;
  }

  #forgetSignature() {
    this.#forgetTick();
    this.typed.value = "";
    this.pad.clear();
  }

  /** @param {string} text @param {HTMLElement | null} [focus] */
  #tell(text, focus = null) {
    const box = this.#one("problem");
    if (box.textContent !== text) box.textContent = text;
    box.hidden = text === "";
    focus?.focus();
  }

  /** @param {string} key @param {Record<string, string | number>} [values] */
  #say(key, values = {}) {
    return fill(this.given.words[key], values);
  }

  /** @param {string} name @param {string} text */
  #write(name, text) {
    const element = this.#one(name);
    if (element.textContent !== text) element.textContent = text;
  }

  /** @param {string} name @returns {HTMLElement} */
  #one(name) {
    const found = this.root.querySelector(`[data-statement-${name}]`);
    if (!found) throw new Error(`the page has no [data-statement-${name}]`);
    return /** @type {HTMLElement} */ (found);
  }
}

/** Whether it waits to be written in the language of the witness. @param {Paragraph} paragraph @param {Statement} statement */
function isMissing({ original }, { interpreting }) {
  return interpreting !== null && original === "";
}
