// What the booth's scripts share: elements, words, times, the question box.

import { fill } from "../js/words.js";

/**
 * @template {Element} T
 * @param {string} id
 * @param {{new(): T}} kind
 * @returns {T}
 */
export function get(id, kind) {
  const found = document.getElementById(id);
  if (!(found instanceof kind)) throw new Error(`the page has no ${kind.name} #${id}`);
  return found;
}

/**
 * @template {Element} T
 * @param {ParentNode} inside
 * @param {string} selector
 * @param {{new(): T}} kind
 * @returns {T}
 */
export function find(inside, selector, kind) {
  const found = inside.querySelector(selector);
  if (!(found instanceof kind)) throw new Error(`the page has no ${selector}`);
  return found;
}

/** @param {string} id @returns {any} the JSON the template wrote */
export function read(id) {
  return JSON.parse(get(id, HTMLScriptElement).textContent ?? "{}");
}

/** Change a text only when it differs, so that nothing is announced twice.
 * @param {Element} element @param {string} text */
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Show a sentence, or hide its element when there is none.
 * @param {HTMLElement} element @param {string} text */
export function show(element, text) {
  write(element, text);
  element.hidden = text === "";
}

export class Words {
  /** @param {Record<string, string>} words @param {{language: string, timezone: string}} place */
  constructor(words, { language, timezone }) {
    this.words = words;
    this.hours = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", hourCycle: "h23", timeZone: timezone });
    this.language = language;
  }

  /** @param {string} key @param {Record<string, string|number>} [values] */
  say(key, values = {}) {
    const words = this.words[key];
    if (words === undefined) throw new Error(`no words for ${key}`);
    return fill(words, values);
  }

  /** Write a time of day as the server's pages do: 10:45am, 2pm.
   * @param {string|null|undefined} iso */
  clock(iso) {
    if (!iso) return "";
    const [hour = 0, minute = 0] = this.hours.format(new Date(iso)).split(":").map(Number);
    const minutes = minute ? `:${String(minute).padStart(2, "0")}` : "";
    return `${hour % 12 || 12}${minutes}${this.say(hour < 12 ? "am" : "pm")}`;
  }
}

/** Ask before something that cannot be undone. Escape and "Go back" mean no; the focus returns where it was.
 * @param {string} question @param {string} yes @returns {Promise<boolean>} */
export function ask(question, yes) {
  const dialog = get("ask", HTMLDialogElement);
  write(get("ask-text", HTMLElement), question);
  const accept = get("ask-yes", HTMLButtonElement);
  write(accept, yes);
  dialog.returnValue = "";
  dialog.showModal();
  get("ask-no", HTMLButtonElement).focus(); // the safe answer first
  return new Promise((resolve) => {
    const over = new AbortController();
    const how = { signal: over.signal };
    accept.addEventListener("click", () => dialog.close("yes"), how);
    get("ask-no", HTMLButtonElement).addEventListener("click", () => dialog.close("no"), how);
    dialog.addEventListener(
      "close",
      () => {
        over.abort();
        resolve(dialog.returnValue === "yes");
      },
      how,
    );
  });
}
