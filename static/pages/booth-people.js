// Others in the call: who is in it, guests and what may be done about them, a pause, who listens. Draws the snapshot.

import { post } from "../js/post.js";
import { drawSignal } from "./call-tools.js";
import { Words, ask, find, get, read, show, write } from "./booth-page.js";
import { gapWords } from "./booth-room.js";

/**
 * @typedef {{id: string, role: string, role_words: string, name_to_show: string, is_self: boolean}} Seen
 * @typedef {{id: string, role_words: string, name: string}} Guest
 * @typedef {{id: string, guest: string, state: string, connected: boolean}} Session
 * @typedef {{role: string, role_words: string, missing: boolean}} Need
 * @typedef {{needs: Need[], people: Seen[], guests: Guest[], guest_sessions: Session[], listeners: string[], held: boolean, pause_asked: boolean, pause_asked_by: string, ended: object|null, gaps: import("./booth-room.js").Room["gaps"], sending?: Record<string, import("./call-tiles.js").Sending>}} Room
 * @typedef {{key: string, name: string, state: string, participant: string, guest: string, waits: boolean, inCall: boolean, isSelf: boolean}} Line `inCall`: their microphone may be asked for
 */

const ORDER = ["admitted", "waiting", "checking", "arrived", "left", "exited"];

/** One line for everybody in the call and for every guest who is not in it.
 * @param {Room} room @param {Words} words @returns {Line[]} */
export function lines(room, words) {
  /** @type {Line[]} */
  const found = room.people.map((one) => {
    const guest = room.guest_sessions.find((session) => session.id === one.id)?.guest ?? "";
    const name = words.say("named", { name: one.is_self ? words.say("self") : one.name_to_show, role: one.role_words });
    const inCall = !one.is_self && !["officer", "supervisor"].includes(one.role);
    const gap = one.is_self ? undefined : room.gaps.find((gap) => gap.participant === one.id && gap.ended_at === null);
    return { key: one.id, name, state: gap ? gapWords(gap, words) : words.say("admitted"), participant: one.id, guest, waits: false, inCall, isSelf: one.is_self };
  });
  for (const guest of room.guests) {
    if (found.some((line) => line.guest === guest.id)) continue;
    const sessions = room.guest_sessions.filter((session) => session.guest === guest.id && ORDER.includes(session.state));
    sessions.sort((a, b) => Number(b.connected) - Number(a.connected) || ORDER.indexOf(a.state) - ORDER.indexOf(b.state));
    const [session] = sessions;
    const waits = session?.state === "waiting" && session.connected;
    const isAway = session && !session.connected && ["waiting", "checking", "arrived", "admitted"].includes(session.state);
    const state = words.say(!session ? "invited" : isAway ? "away" : session.state);
    const name = words.say("named", { name: guest.name, role: guest.role_words });
    found.push({ key: guest.id, name, state, participant: session?.id ?? "", guest: guest.id, waits, inCall: false, isSelf: false });
  }
  return found;
}

export class People {
  /** @param {{here: string, words: Words, language: string, timezone: string, linkOf: (participant: string) => import("./call-tools.js").LinkState | undefined}} given */
  constructor({ here, words, language, timezone, linkOf }) {
    this.here = here;
    this.linkOf = linkOf;
    this.words = new Words({ ...words.words, ...read("people-words") }, { language, timezone });
    /** @type {Room|null} */
    this.room = null;
    this.formId = makeId();
    this.isInviting = false;
    get("people-hold", HTMLButtonElement).addEventListener("click", () => void this.#hold(!this.room?.held));
    get("people-decline", HTMLButtonElement).addEventListener("click", () => void this.#hold(false));
    get("people-link-close", HTMLButtonElement).addEventListener("click", () => this.#showLink(null));
    get("people-needs-form", HTMLFormElement).addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#saveNeeds();
    });
    get("people-form", HTMLFormElement).addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#invite();
    });
    setInterval(() => this.#redraw(), 1000); // figures come and grow old without the room changing
  }

  /** @param {Room} room */
  follow(room) {
    this.room = room;
    const say = this.words.say.bind(this.words);
    write(get("people-listening", HTMLElement), room.listeners.join(" "));
    write(get("people-pause", HTMLElement), room.held ? say("held") : room.pause_asked ? say("pause_asked", { name: room.pause_asked_by }) : "");
    document.body.dataset.held = room.held ? "yes" : "no"; // a face must not stand still on a screen meanwhile
    write(get("people-hold", HTMLButtonElement), say(room.held ? "go_on" : "pause"));
    get("people-hold", HTMLButtonElement).hidden = room.ended !== null;
    get("people-decline", HTMLButtonElement).hidden = !room.pause_asked;
    get("people-invite", HTMLDetailsElement).hidden = room.ended !== null;
    get("people-needs-box", HTMLDetailsElement).hidden = room.ended !== null;
    this.#drawNeeds(room.needs);
    this.#drawLines(lines(room, this.words));
  }

  #redraw() {
    if (this.room) this.#drawLines(lines(this.room, this.words));
  }

  /** @param {Need[]} needs */
  #drawNeeds(needs) {
    const missing = needs.filter((need) => need.missing);
    const names = (missing.length ? missing : needs).map((need) => need.role_words).join(", ");
    const text = needs.length ? this.words.say(missing.length ? "needs_missing" : "needs_here", { names }) : "";
    show(get("people-needs", HTMLElement), text);
    if (get("people-needs-box", HTMLDetailsElement).open) return; // somebody is choosing
    for (const box of this.#needBoxes()) box.checked = needs.some((need) => need.role === box.value);
  }

  #needBoxes() {
    return /** @type {HTMLInputElement[]} */ ([...get("people-needs-form", HTMLFormElement).querySelectorAll("input")]);
  }

  async #saveNeeds() {
    const needs = this.#needBoxes().filter((box) => box.checked).map((box) => box.value);
    if (await this.#post("/needs", { needs })) get("people-needs-box", HTMLDetailsElement).open = false;
  }

  /** @param {Line[]} found */
  #drawLines(found) {
    const list = get("people-list", HTMLUListElement);
    const shown = new Map([...list.children].map((item) => [item instanceof HTMLElement ? item.dataset.key : "", item]));
    found.forEach((line, n) => {
      const item = shown.get(line.key) ?? this.#newItem(line.key);
      shown.delete(line.key);
      write(find(item, ".app-people__name", HTMLElement), line.name);
      write(find(item, ".app-people__state", HTMLElement), line.state);
      const signal = line.guest && line.inCall ? (this.linkOf(line.participant)?.signal ?? null) : null; // the person's stands above
      drawSignal(find(item, ".app-people__signal", HTMLElement), signal, (strength) => this.words.say("signalOf", { strength: this.words.say(`signal.${strength}`) }));
      const over = this.room?.ended !== null;
      const isMuted = this.room?.sending?.[line.participant]?.muted === true;
      const may = { admit: line.waits, mute: line.inCall && !isMuted, unmute: line.inCall && isMuted, link: line.guest !== "" && !line.inCall, remove: line.guest !== "" };
      for (const [deed, allowed] of Object.entries(may)) {
        const button = find(item, `[data-people-do="${deed}"]`, HTMLButtonElement);
        button.hidden = over || !allowed;
        const label = `${button.textContent}: ${line.name}`;
        if (button.getAttribute("aria-label") !== label) button.setAttribute("aria-label", label);
      }
      if (list.children[n] !== item) list.insertBefore(item, list.children[n] ?? null);
    });
    for (const gone of shown.values()) gone.remove();
  }

  /** @param {string} key */
  #newItem(key) {
    const item = find(document.importNode(get("people-template", HTMLTemplateElement).content, true), "li", HTMLLIElement);
    item.dataset.key = key;
    item.addEventListener("click", (event) => {
      const pressed = /** @type {HTMLElement|null} */ (/** @type {Element} */ (event.target).closest("[data-people-do]"));
      const line = this.room && lines(this.room, this.words).find((one) => one.key === key);
      if (pressed && line) void this.#do(pressed.dataset.peopleDo ?? "", line);
    });
    return item;
  }

  /** @param {string} deed @param {Line} line */
  async #do(deed, line) {
    const name = line.name;
    if (deed === "admit" && (await this.#post("/admit", { participant: line.participant }))) {
      this.#showLink(null); // it has done its work
      this.#say("");
    }
    if (deed === "mute" || deed === "unmute") {
      if (await this.#post(`/people/${line.participant}/ask`, { wish: deed })) this.#say(this.words.say(`asked.${deed}`, { name }));
    }
    if (deed === "link") {
      const answer = await fetch(`${this.here}/guests/${line.guest}/link`, { headers: { Accept: "application/json" } }).catch(() => null);
      if (answer?.ok) this.#showLink(await answer.json());
      else this.#fail(this.words.say("offline"));
    }
    if (deed === "remove" && (await ask(this.words.say("remove_sure", { name }), this.words.say("remove")))) {
      if (await this.#post(`/guests/${line.guest}/remove`, {})) this.#say(this.words.say("removed", { name }));
    }
  }

  async #invite() {
    if (this.isInviting) return; // one form, one guest: what is typed meanwhile is the next one
    const name = get("people-name", HTMLInputElement);
    if (!name.value.trim()) {
      this.#fail(this.words.say("no_name"));
      name.focus();
      return;
    }
    const body = {
      role: get("people-role", HTMLSelectElement).value,
      name: name.value,
      language: get("people-language", HTMLSelectElement).value,
      signs: get("people-signs", HTMLInputElement).checked,
      mobile: get("people-mobile", HTMLInputElement).value,
      form_id: this.formId,
    };
    this.isInviting = true;
    const made = await this.#post("/guests", body);
    this.isInviting = false;
    if (!made) return;
    this.#say(this.words.say(made.texted ? "texted" : "not_texted", { name: body.name }));
    this.#showLink(made);
    this.formId = makeId();
    if (name.value !== body.name) return;
    get("people-form", HTMLFormElement).reset();
    get("people-invite", HTMLDetailsElement).open = false;
  }

  /** @param {boolean} held */
  async #hold(held) {
    await this.#post("/hold", { held });
  }

  /** @param {string} path @param {object} body @returns {Promise<any>} what came back, null when it was refused */
  async #post(path, body) {
    const answer = await post(`${this.here}${path}`, body);
    this.#fail(answer.ok ? "" : answer.said || this.words.say("offline"));
    return answer.ok ? answer.body : null;
  }

  /** @param {{link: string, qr: string}|null} made */
  #showLink(made) {
    get("people-link", HTMLElement).hidden = made === null;
    get("people-address", HTMLInputElement).value = made?.link ?? "";
    if (made) get("people-qr", HTMLImageElement).src = made.qr;
  }

  /** @param {string} text */
  #say(text) {
    write(get("people-said", HTMLElement), text);
  }

  /** @param {string} text */
  #fail(text) {
    show(get("people-problem", HTMLElement), text);
  }
}

/** An id for one filled-in form: sent twice, it counts once. */
function makeId() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
