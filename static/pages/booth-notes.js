// The notes: saved as typed; on a conflict both texts stand on the page until the officer decides.

import { NoteSaver } from "../js/note_saver.js";
import { get, write } from "./booth-page.js";

/**
 * @param {{url: string, version: number, mostCharacters: number, words: import("./booth-page.js").Words}} given
 * @returns {{saved: (withinMs: number) => Promise<boolean>, show: (note: {text: string, saved_at: string|null}) => void}}
 */
export function startNotes({ url, version, mostCharacters, words }) {
  const field = get("notes", HTMLTextAreaElement);
  const state = get("note-state", HTMLElement);
  const conflict = get("note-conflict", HTMLElement);
  const theirs = get("note-theirs", HTMLTextAreaElement);
  const saver = new NoteSaver({ url, text: field.value, version });

  const tell = (/** @type {string} */ text, /** @type {boolean} */ bad = false) => {
    write(state, text);
    state.classList.toggle("app-notes__state--bad", bad);
  };
  const change = () => {
    const over = field.value.length - mostCharacters;
    if (over > 0) tell(words.say("noteTooLong", { count: over }), true);
    else saver.change(field.value);
  };
  const settle = (/** @type {string} */ text) => {
    conflict.hidden = true;
    field.value = text;
    field.focus();
    saver.settle(text);
  };

  field.addEventListener("input", change);
  saver.addEventListener("unsaved", () => tell(words.say("noteUnsaved")));
  saver.addEventListener("saving", () => tell(words.say("noteSaving")));
  saver.addEventListener("saved", (event) => tell(words.say("noteSaved", { time: words.clock(detail(event).savedAt) })));
  saver.addEventListener("failed", (event) => tell(words.say("noteFailed", { message: detail(event).said || words.say("offline") }), true));
  saver.addEventListener("conflict", (event) => {
    tell(words.say("noteUnsaved"), true);
    theirs.value = detail(event).text;
    conflict.hidden = false;
    write(get("note-conflict-text", HTMLElement), words.say("noteConflict", { time: words.clock(detail(event).savedAt) }));
  });
  get("note-both", HTMLButtonElement).addEventListener("click", () => settle(`${theirs.value}\n\n${field.value}`));
  get("note-mine", HTMLButtonElement).addEventListener("click", () => settle(field.value));
  get("note-use-theirs", HTMLButtonElement).addEventListener("click", () => settle(theirs.value));

  addEventListener("pagehide", () => saver.flush());
  addEventListener("beforeunload", (event) => {
    if (!saver.isSaved) event.preventDefault();
  });

  return {
    /** Follow what an officer writes, on a page that only listens. */
    show(note) {
      if (field.value !== note.text) field.value = note.text;
      tell(note.saved_at ? words.say("noteSaved", { time: words.clock(note.saved_at) }) : "");
    },
    /** Wait until all is saved; false when that did not happen in time. */
    async saved(withinMs) {
      const until = Date.now() + withinMs;
      saver.hurry();
      while (!saver.isSaved && Date.now() < until) await new Promise((resolve) => setTimeout(resolve, 50));
      return saver.isSaved;
    },
  };
}

/** @param {Event} event */
function detail(event) {
  return /** @type {CustomEvent} */ (event).detail;
}
