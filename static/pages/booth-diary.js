// Keeps the diary fresh: asks for the day's table every few seconds and puts it in place when it has changed.

import { get, read, write } from "./booth-page.js";

const EVERY_MS = 2500;
const STALE_AFTER_MS = 15_000;

const config = read("config");
const title = document.title;
const sound = get("diary-sound", HTMLInputElement);
let seen = "";
let lastLook = Date.now();
let waiting = waitingIn(document);
/** @type {AudioContext|undefined} */
let audio;
/** What is pressed stays in its place until the press is over: else it would be lost. */
let released = Promise.resolve();
addEventListener("pointerdown", () => {
  released = new Promise((resolve) => {
    for (const over of ["click", "pointercancel", "blur"]) addEventListener(over, () => resolve(), { once: true });
    addEventListener("pointerup", () => setTimeout(resolve, 400), { once: true }); // its click comes, or none does
    setTimeout(resolve, STALE_AFTER_MS); // whatever became of it, the diary goes on
  });
});

/** Who waits: appointment to the sentence that says so.
 * @param {ParentNode} inside @returns {Map<string, string>} */
function waitingIn(inside) {
  /** @type {Map<string, string>} */
  const found = new Map();
  for (const row of inside.querySelectorAll("[data-standing=waiting]")) {
    if (row instanceof HTMLElement) found.set(row.dataset.appointment ?? "", row.dataset.announce ?? "");
  }
  return found;
}

/** The alarms that stand on the page.
 * @param {ParentNode} inside @returns {Set<string>} */
function alarmsIn(inside) {
  const found = inside.querySelectorAll("[data-alarm]");
  return new Set([...found].map((one) => (one instanceof HTMLElement ? (one.dataset.alarm ?? "") : "")));
}

async function look() {
  try {
    const answer = await fetch(`${config.fragment}&seen=${seen}`, { headers: { Accept: "application/json, text/html" } });
    if (answer.status === 401 || answer.status === 403) return location.reload(); // signed out meanwhile
    if (answer.ok) {
      lastLook = Date.now();
      const fresh = answer.status === 200 ? await answer.text() : "";
      await released;
      if (fresh) put(fresh);
      seen = answer.headers.get("X-Diary") ?? "";
    }
  } catch {
    // said below, once it lasts
  }
  get("diary-stale", HTMLElement).hidden = Date.now() - lastLook < STALE_AFTER_MS;
  setTimeout(look, EVERY_MS);
}

/** Put the server's own, escaped fragment in place; the focus stays on the same link or button.
 * @param {string} text */
function put(text) {
  const fresh = new DOMParser().parseFromString(text, "text/html").getElementById("diary-live");
  const stale = get("diary-live", HTMLElement);
  if (!fresh || fresh.outerHTML === stale.outerHTML) return;
  const known = alarmsIn(stale);
  const focused = stale.contains(document.activeElement) ? (document.activeElement?.id ?? "") : "";
  stale.replaceWith(document.adoptNode(fresh));
  if (focused) document.getElementById(focused)?.focus();
  tell(waitingIn(fresh));
  if ([...alarmsIn(fresh)].some((id) => !known.has(id)) && sound.checked) beep();
}

/** @param {Map<string, string>} now */
function tell(now) {
  const news = [...now].filter(([appointment]) => !waiting.has(appointment)).map(([, sentence]) => sentence);
  waiting = now;
  drawTitle();
  if (news.length) {
    write(get("diary-news", HTMLElement), news.join(". "));
    if (sound.checked) beep();
  }
}

function drawTitle() {
  const words = String(config.waitingTitle);
  document.title = waiting.size ? words.replace("{count}", String(waiting.size)).replace("{title}", title) : title;
}

function beep() {
  audio ??= new AudioContext();
  void audio.resume();
  const start = audio.currentTime;
  for (const [after, hertz] of /** @type {const} */ ([[0, 660], [0.22, 880]])) {
    const tone = new OscillatorNode(audio, { frequency: hertz });
    const loudness = new GainNode(audio, { gain: 0 });
    loudness.gain.setValueAtTime(0, start + after);
    loudness.gain.linearRampToValueAtTime(0.25, start + after + 0.02);
    loudness.gain.exponentialRampToValueAtTime(0.001, start + after + 0.2);
    tone.connect(loudness).connect(audio.destination);
    tone.start(start + after);
    tone.stop(start + after + 0.21);
  }
}

get("diary-sound-choice", HTMLElement).hidden = false;
sound.checked = localStorage.getItem("diary-sound") === "on";
sound.addEventListener("change", () => {
  localStorage.setItem("diary-sound", sound.checked ? "on" : "off");
  if (sound.checked) beep(); // lets it be heard, and the click lets the browser play it later
});
for (const gesture of ["pointerdown", "keydown"]) {
  document.addEventListener(gesture, () => sound.checked && void (audio ??= new AudioContext()).resume(), { once: true });
}
drawTitle();
void look();
