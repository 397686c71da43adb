// @ts-check
// The back page of a statement in the booth: contact, dates, consents and needs, kept apart and never shown with it.

import { post } from "../js/post.js";
import { find, get, write } from "./booth-page.js";

export class BackPage {
  /** @param {(key: string, values?: Record<string, string | number>) => string} say keys: badDates, missing.{name}, backMissing {what}, backSaved, offline */
  constructor(say) {
    this.say = say;
    this.url = ""; // where the newest statement's is saved
    this.form = get("statement-back-form", HTMLFormElement);
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#save();
    });
  }

  /** Show what was answered. @param {any} page @param {string} url where it is saved */
  draw(page, url) {
    this.url = url;
    this.#field("contact").value = page.contact ?? "";
    this.#field("contact_words").value = page.contact_words;
    this.#field("dates").value = page.dates_to_avoid.join("\n");
    this.#field("no_dates").checked = page.no_dates;
    this.#field("needs").value = page.needs;
    this.#field("no_needs").checked = page.no_needs;
    this.#field("personal_statement").value = page.personal_statement;
    for (const choice of this.form.querySelectorAll("select")) {
      const code = choice.dataset.consent;
      if (code) choice.value = code in page.consents ? (page.consents[code] ? "yes" : "no") : "";
    }
    this.#tell("");
  }

  async #save() {
    if (!this.url) return;
    const text = (/** @type {string} */ name) => this.#field(name).value.trim();
    const dates = text("dates").split(/\s+/).filter(Boolean);
    if (dates.some((date) => !/^\d{4}-\d\d-\d\d$/.test(date) || Number.isNaN(Date.parse(date)))) return this.#tell(this.say("badDates"));
    const answer = await post(this.url, {
      contact: text("contact") || null,
      contact_words: text("contact_words"),
      dates_to_avoid: dates,
      no_dates: this.#field("no_dates").checked && dates.length === 0,
      consents: this.#consents(),
      needs: text("needs"),
      no_needs: this.#field("no_needs").checked && text("needs") === "",
      personal_statement: text("personal_statement"),
    });
    if (!answer.ok) return this.#tell(answer.said || this.say("offline"));
    const missing = answer.body.unanswered.map((/** @type {string} */ name) => this.say(`missing.${name}`)).join(", ");
    this.#tell(missing ? this.say("backMissing", { what: missing }) : this.say("backSaved"));
  }

  /** What was chosen, by code; what was not asked is left out. */
  #consents() {
    /** @type {Record<string, boolean>} */
    const consents = {};
    for (const choice of this.form.querySelectorAll("select")) {
      if (choice.dataset.consent && choice.value) consents[choice.dataset.consent] = choice.value === "yes";
    }
    return consents;
  }

  /** @param {string} text */
  #tell(text) {
    write(get("statement-back-said", HTMLElement), text);
  }

  /** @param {string} name */
  #field(name) {
    return /** @type {HTMLInputElement} */ (find(this.form, `[name="${name}"]`, HTMLElement));
  }
}
