// @ts-check
// Over the picture of a call: who else is in it, who listens, a pause, and what the officer asks of the microphone.
// A microphone is only ever turned on by a press on this page.

import { fill } from "../js/words.js";
import { one } from "./phone_page.js";

/** @typedef {{id: string, role: string, role_words: string, name_to_show: string, is_self: boolean}} Person */
/** @typedef {{people: Person[], listeners: string[], held: boolean, held_words: string, asked: {what: "mute" | "unmute", said: string} | null, pause_asked?: boolean, pause_asked_by?: string}} Told */

export class Others {
  /**
   * @param {HTMLElement} root
   * @param {{send: (message: object) => void, setMuted: (muted: boolean) => void}} given
   */
  constructor(root, { send, setMuted }) {
    this.root = root;
    this.send = send;
    this.setMuted = setMuted;
    /** @type {Record<string, string>} */
    this.words = JSON.parse(one(document, "#others-words").textContent ?? "{}");
    /** @type {Told["asked"]} */
    this.asked = null;
    root.addEventListener("click", (event) => this.#press(/** @type {Element} */ (event.target)));
  }

  /** @param {Told} room */
  follow(room) {
    this.asked = room.asked;
    this.#say("held", room.held_words || this.#sayPause(room));
    document.body.dataset.held = room.held ? "yes" : "no"; // a face must not stand still on a screen meanwhile
    this.#say("listening", room.listeners.join(" "));
    const people = room.people.filter((person) => person.role !== "supervisor"); // who listens is named above
    const names = people.map((person) => (person.is_self ? this.words.self : `${person.name_to_show} (${person.role_words})`));
    this.#say("people", people.length > 1 ? fill(this.words.people, { names: names.join(", ") }) : "");
    one(this.root, "[data-others-asked]").hidden = room.asked === null;
    this.#say("asked-words", room.asked?.said ?? "");
    one(this.root, '[data-others-do="heed"]').textContent = room.asked ? this.words[room.asked.what] : "";
    const pause = this.root.querySelector('[data-others-do="pause"]');
    if (pause instanceof HTMLElement) pause.hidden = room.held || room.pause_asked === true;
  }

  /** @param {Told} room */
  #sayPause({ pause_asked, pause_asked_by }) {
    if (!pause_asked) return "";
    return pause_asked_by ? fill(this.words.pause_asked_by, { name: pause_asked_by }) : this.words.pause_asked;
  }

  /** @param {Element} target */
  #press(target) {
    const pressed = /** @type {HTMLElement | null} */ (target.closest("[data-others-do]"))?.dataset.othersDo;
    if (pressed === "pause") this.send({ type: "ask_pause" });
    if (pressed === "heed" && this.asked) this.setMuted(this.asked.what === "mute");
    if (pressed === "heed" || pressed === "settle") this.send({ type: "settle_asked" });
  }

  /** Put words in, once: the same words again are not announced again. @param {string} name @param {string} text */
  #say(name, text) {
    const place = one(this.root, `[data-others-${name}]`);
    if (place.textContent !== text) place.textContent = text;
  }
}
