// Draws who is in the room: the headline, the people of the link, the alerts.

import { find, get, show, write } from "./booth-page.js";
import { drawSignal } from "./call-tools.js";

/**
 * One session of the link, as the server shows it to the booth.
 * @typedef {object} Person
 * @property {string} id
 * @property {string} state
 * @property {string} since
 * @property {string|null} admitted_at
 * @property {"right"|"wrong"|"none"} word
 * @property {string} device
 * @property {boolean} connected
 * @property {string|null} seen_at
 * @property {string|null} silent_since
 * @property {string|null} left_at
 * @property {string|null} left_how
 */

/**
 * @typedef {object} Room
 * @property {Person[]} waiting
 * @property {string|null} admitted
 * @property {{id: string, kind: "unsafe"|"exited", at: string}[]} alerts
 * @property {{at: string, outcome: string}|null} ended
 * @property {boolean} [held] paused for everybody
 * @property {{participant: string, began_at: string, ended_at: string|null, why: string}[]} gaps
 * @property {Record<string, import("./call-tiles.js").Sending>} [sending]
 */

const WHYS = ["silent", "relay_lost", "closed", "offline", "network_changed", "asleep", "interrupted", "device_lost", "ring"];

/** @typedef {{tone: "quiet"|"act"|"good"|"warn"|"stop", text: string, more: string}} Headline */

/** Since when a person in the call is not heard, or null while they are.
 * @param {Person} person */
export function lostSince(person) {
  if (!person.connected) return person.left_how === "closed_page" ? null : (person.seen_at ?? person.left_at);
  return person.silent_since;
}

/** Whom the headline is about: the one in the call, else who waits, else who was here last.
 * @param {Room} room @returns {Person|undefined} */
function mainPerson(room) {
  const order = ["waiting", "unsafe", "exited", "left", "checking", "arrived"];
  return (
    room.waiting.find((person) => person.id === room.admitted) ??
    order.flatMap((state) => room.waiting.filter((person) => person.state === state && (person.connected || !isHere(state))))[0] ??
    undefined
  );
}

/** @param {string} state */
function isHere(state) {
  return ["waiting", "checking", "arrived"].includes(state);
}

/**
 * What the line over the picture says.
 * @param {Room} room
 * @param {{words: import("./booth-page.js").Words, name: string, now: number, onCamera: boolean, flows: boolean, rung?: string, partly?: boolean}} know
 *   now: the server's time in ms; flows: sound and picture of the other side arrive; rung: where their link stands;
 *   partly: a camera, a microphone or the pictures are off at our side
 * @returns {Headline}
 */
export function headline(room, { words, name, now, onCamera, flows, rung = "full", partly = false }) {
  const say = words.say.bind(words);
  if (room.ended) return { tone: "quiet", text: say("endedAt", { time: words.clock(room.ended.at) }), more: "" };
  const person = mainPerson(room);
  if (!person) return { tone: "quiet", text: say("waitingFor", { name }), more: say("nobodyYet") };
  const left = { name, time: words.clock(person.left_at) };
  if (person.state === "admitted") {
    if (!person.connected && person.left_how === "closed_page") {
      return { tone: "warn", text: say("closedPage", left), more: say("mayComeBack") };
    }
    const since = lostSince(person);
    if (since) return { tone: "warn", text: say("lost", { name }), more: say("comesBack", { seconds: secondsSince(since, now) }) };
    const pause = openGap(room, person.id);
    if (pause) return { tone: "warn", text: say("interruptedHead", { name }), more: gapWords(pause, words) };
    if (room.held) return { tone: "warn", text: say("connected", { name }), more: say("held") };
    if (rung === "no_picture" || rung === "sound_only") return { tone: "warn", text: say("connected", { name }), more: say(`rung.${rung}`, { name }) };
    const sends = room.sending?.[person.id];
    const isPartly = partly || sends?.muted || sends?.camera_off || sends?.audio_only;
    const more = onCamera ? say(!flows ? "callStarts" : isPartly ? "callFlowsPartly" : "callFlows") : say("notOnCamera");
    return { tone: onCamera ? "good" : "act", text: say("connected", { name }), more };
  }
  if (person.state === "waiting") {
    const count = room.waiting.filter((one) => one.state === "waiting" && one.connected).length;
    const more = count > 1 ? say("severalWait", { count }) : say("stateWaiting", { time: words.clock(person.since) });
    return { tone: "act", text: say("isWaiting", { name }), more };
  }
  if (person.state === "exited") return { tone: "stop", text: say("leftOnPurpose", { name }), more: "" };
  if (person.state === "unsafe") return { tone: "stop", text: say("unsafe", { name }), more: say("decideSafely") };
  if (person.state === "left") return { tone: "warn", text: say("left", left), more: say("mayComeBack") };
  return { tone: "quiet", text: say("waitingFor", { name }), more: say(person.state === "checking" ? "stateChecking" : "stateArrived") };
}

/** What the page itself says keeps somebody from being heard now. @param {Room} room @param {string} participant */
function openGap(room, participant) {
  return room.gaps.find((gap) => gap.participant === participant && gap.ended_at === null && ["interrupted", "device_lost", "ring"].includes(gap.why));
}

/**
 * The gap to tell of: one that goes on, else the last. "ring" only follows from others once it is over.
 * @param {Room} room
 * @param {string} participant
 * @returns {Room["gaps"][0] | undefined}
 */
export function lastGap(room, participant) {
  const theirs = room.gaps.filter((gap) => gap.participant === participant && WHYS.includes(gap.why));
  return theirs.filter((gap) => gap.ended_at === null).pop() ?? theirs.filter((gap) => gap.why !== "ring").pop() ?? theirs.pop();
}

/**
 * Since when, or when and for how long, somebody was not heard, and why.
 * @param {Room["gaps"][0]} gap
 * @param {import("./booth-page.js").Words} words
 */
export function gapWords(gap, words) {
  const why = words.say(`why.${gap.why}`);
  const time = words.clock(gap.began_at);
  if (gap.ended_at === null) return words.say("gapNow", { time, why });
  return words.say("gapBefore", { time, why, seconds: Math.max(1, Math.round((Date.parse(gap.ended_at) - Date.parse(gap.began_at)) / 1000)) });
}

/** @param {string} iso @param {number} now */
function secondsSince(iso, now) {
  return Math.max(0, Math.round((now - Date.parse(iso)) / 1000));
}

export class RoomDrawing {
  /**
   * @param {object} given
   * @param {import("./booth-page.js").Words} given.words
   * @param {string} given.name
   * @param {number} given.ahead how far the server's clock is ahead of this one, in ms
   * @param {Record<string, string>} given.alertWords
   * @param {(person: Person, others: number) => void} given.onAdmit
   * @param {(alert: string) => void} given.onDismiss
   * @param {(participant: string) => import("./call-tools.js").LinkState | undefined} given.linkOf
   * @param {() => boolean} given.isPartly
   */
  constructor({ words, name, ahead, alertWords, onAdmit, onDismiss, linkOf, isPartly }) {
    this.linkOf = linkOf;
    this.isPartly = isPartly;
    this.words = words;
    this.name = name;
    this.ahead = ahead;
    this.alertWords = alertWords;
    this.onAdmit = onAdmit;
    this.onDismiss = onDismiss;
    /** @type {Room|null} */
    this.room = null;
    this.onCamera = false;
    this.flows = false;
    this.title = document.title;
    setInterval(() => this.redraw(), 1000); // seconds are counted on the page
  }

  /** @param {Room} room */
  draw(room) {
    this.room = room;
    this.redraw();
  }

  redraw() {
    if (!this.room) return;
    this.#drawHeadline(this.room);
    this.#drawPeople(this.room);
    this.#drawAlerts(this.room);
  }

  get now() {
    return Date.now() + this.ahead;
  }

  /** @param {Room} room */
  #drawHeadline(room) {
    const rung = this.linkOf(room.admitted ?? "")?.link.rung;
    const said = headline(room, { words: this.words, name: this.name, now: this.now, onCamera: this.onCamera, flows: this.flows, rung, partly: this.isPartly() });
    get("headline", HTMLElement).dataset.tone = said.tone;
    write(get("headline-text", HTMLElement), said.text);
    write(get("headline-more", HTMLElement), said.more);
    const waits = said.tone === "act" && !room.admitted;
    const title = waits ? this.words.say("waitingTitle", { title: this.title }) : this.title;
    if (document.title !== title) document.title = title;
  }

  /** @param {Room} room */
  #drawPeople(room) {
    const list = get("waits", HTMLUListElement);
    const shown = new Map([...list.children].map((item) => [item instanceof HTMLElement ? item.dataset.participant : "", item]));
    room.waiting.forEach((person, n) => {
      const item = shown.get(person.id) ?? this.#newItem(person);
      shown.delete(person.id);
      this.#drawPerson(item, person, n + 1, room);
      if (list.children[n] !== item) list.insertBefore(item, list.children[n] ?? null);
    });
    for (const gone of shown.values()) gone.remove();
    get("nobody", HTMLElement).hidden = room.waiting.length > 0;
  }

  /** @param {Person} person */
  #newItem(person) {
    const copy = document.importNode(get("wait-template", HTMLTemplateElement).content, true);
    const item = find(copy, "li", HTMLLIElement);
    item.dataset.participant = person.id;
    find(item, ".app-wait__admit", HTMLButtonElement).addEventListener("click", () => {
      const now = this.room?.waiting.find((one) => one.id === person.id);
      const others = this.room?.waiting.filter((one) => one.id !== person.id && one.state === "waiting" && one.connected) ?? [];
      if (now) this.onAdmit(now, others.length);
    });
    return item;
  }

  /** @param {Element} item @param {Person} person @param {number} number @param {Room} room */
  #drawPerson(item, person, number, room) {
    const say = this.words.say.bind(this.words);
    const device = person.device || say("device", { number });
    if (item instanceof HTMLElement) {
      item.dataset.state = person.state;
      item.dataset.word = person.word;
    }
    write(find(item, ".app-wait__device", HTMLElement), device);
    write(find(item, ".app-wait__state", HTMLElement), this.#stateOf(person));
    show(find(item, ".app-wait__line", HTMLElement), this.#lineOf(person));
    const asked = ["waiting", "admitted", "left"].includes(person.state);
    const wordKey = { right: "wordRight", wrong: "wordWrong", none: "wordNone" }[person.word];
    show(find(item, ".app-wait__word", HTMLElement), asked ? say(wordKey) : "");
    this.#drawLink(item, person, room);
    const button = find(item, ".app-wait__admit", HTMLButtonElement);
    button.hidden = person.state !== "waiting" || room.ended !== null;
    button.classList.toggle("govuk-button--secondary", person.word === "wrong");
    write(button, say("admit"));
    const label = say("admitWhom", { device });
    if (button.getAttribute("aria-label") !== label) button.setAttribute("aria-label", label);
  }

  /** How the link of somebody in the call is, what they send, and the last time they were not heard. @param {Element} item @param {Person} person @param {Room} room */
  #drawLink(item, person, room) {
    const isIn = person.state === "admitted";
    const signal = isIn ? (this.linkOf(person.id)?.signal ?? null) : null;
    drawSignal(find(item, ".app-wait__signal", HTMLElement), signal, (strength) => this.words.say("signalOf", { strength: this.words.say(`signal.${strength}`) }));
    const sends = isIn ? room.sending?.[person.id] : undefined;
    const said = sends?.audio_only ? ["soundOnlyOf"] : [];
    if (sends?.camera_off && !sends.audio_only) said.push("pictureOff");
    if (sends?.muted) said.push("mutedOf");
    show(find(item, ".app-wait__sends", HTMLElement), said.map((key) => this.words.say(key, { name: this.name })).join(" "));
    const gap = lastGap(room, person.id);
    show(find(item, ".app-wait__gap", HTMLElement), isIn && gap ? gapWords(gap, this.words) : "");
  }

  /** @param {Person} person */
  #stateOf(person) {
    const clock = this.words.clock.bind(this.words);
    /** @type {Record<string, string>} */
    const times = { waiting: clock(person.since), admitted: clock(person.admitted_at) };
    const key = `state${person.state[0]?.toUpperCase()}${person.state.slice(1)}`;
    return this.words.say(key, { time: times[person.state] ?? clock(person.left_at) });
  }

  /** Connected or not; nothing for those who have ended. @param {Person} person */
  #lineOf(person) {
    if (!isHere(person.state) && person.state !== "admitted") return "";
    const since = lostSince(person);
    if (since) return this.words.say("goneSince", { seconds: secondsSince(since, this.now) });
    if (!person.connected) return this.words.say("goneAt", { time: this.words.clock(person.left_at) });
    return this.words.say("here");
  }

  /** @param {Room} room */
  #drawAlerts(room) {
    const box = get("alerts", HTMLElement);
    const open = new Set(room.alerts.map((alert) => alert.id));
    for (const shown of [...box.children]) if (shown instanceof HTMLElement && !open.has(shown.dataset.alert ?? "")) shown.remove();
    for (const alert of room.alerts) {
      if (box.querySelector(`[data-alert="${CSS.escape(alert.id)}"]`)) continue;
      const copy = document.importNode(get("alert-template", HTMLTemplateElement).content, true);
      const section = find(copy, "section", HTMLElement);
      section.dataset.alert = alert.id;
      section.classList.add(`app-alert--${alert.kind}`);
      write(find(section, ".app-alert__text", HTMLElement), `${this.words.clock(alert.at)}: ${this.alertWords[alert.kind] ?? ""}`);
      find(section, "form", HTMLFormElement).addEventListener("submit", (event) => {
        event.preventDefault();
        this.onDismiss(alert.id);
      });
      box.append(section);
    }
  }
}
