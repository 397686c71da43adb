// What the pages do more where scripts run: bring what is said into focus, lead back to what was found, show the player
// and how far a package is once they are there, and say in time that a visit ends.

const said = document.querySelector("[data-focus]");
if (said instanceof HTMLElement) said.focus();

const LOOK_EVERY_MS = 1000;
const [PLAYER, GIVEN] = ["[data-player]", "[data-given]"];
const waiting = document.querySelector("[data-player=making]");
if (waiting) setTimeout(() => look(waiting), LOOK_EVERY_MS);

const FOUND = "evidence-found"; // what this tab searched for last: gone with the tab, and on leaving
if (document.querySelector("[data-found]")) sessionStorage.setItem(FOUND, location.pathname + location.search);
for (const link of document.querySelectorAll("a[data-results]")) leadBack(link);
document.querySelector("[data-leave]")?.addEventListener("submit", () => sessionStorage.clear());

const gives = document.querySelector("form[data-gives]");
if (gives instanceof HTMLFormElement) watchGiving(gives);

const stay = document.querySelector("[data-stay]");
if (stay instanceof HTMLElement) warnBeforeTheEnd(stay);

for (const button of document.querySelectorAll("[data-print]")) {
  button.removeAttribute("hidden");
  button.addEventListener("click", () => print());
}
addEventListener("beforeprint", () => {
  for (const closed of document.querySelectorAll("details")) closed.open = true; // on paper nothing can be opened
});

document.addEventListener("error", (event) => failed(event.target), true); // of a player it does not bubble

/**
 * Say that something could not be played; its own controls only stop.
 * @param {EventTarget | null} player
 */
function failed(player) {
  if (!(player instanceof HTMLMediaElement)) return;
  for (const words of document.querySelectorAll("[data-player-failed]")) words.removeAttribute("hidden");
}

/**
 * Put what the store says of the player in the place of what it said before, again and again while it is being made.
 * @param {Element} shown
 */
async function look(shown) {
  const fresh = await ask(shown.getAttribute("data-player-url") ?? "", PLAYER);
  if (!fresh) {
    setTimeout(() => look(shown), 5 * LOOK_EVERY_MS);
    return;
  }
  const state = fresh.getAttribute("data-player");
  if (state === "making") {
    update(shown, fresh);
    setTimeout(() => look(shown), LOOK_EVERY_MS);
    return;
  }
  const had = shown.contains(document.activeElement);
  shown.replaceWith(fresh);
  const film = fresh.querySelector("video, audio");
  if (film instanceof HTMLVideoElement) document.querySelector("[data-still]")?.remove();
  if (had && film instanceof HTMLElement) film.focus();
  const words = document.querySelector("[data-player-says]");
  if (words) words.textContent = words.getAttribute(`data-${state}`);
}

/**
 * Bring the figures up to date and leave the link alone: it may have the focus.
 * @param {Element} shown
 * @param {Element} fresh
 */
function update(shown, fresh) {
  for (const one of ["label", "progress"]) {
    const [old, now] = [shown.querySelector(one), fresh.querySelector(one)];
    if (old && now) old.replaceWith(now);
  }
}

/**
 * Return a piece of a page as the store has it now; undefined while it cannot be asked. Who is out is told so by the page.
 * @param {string} address
 * @param {string} piece
 */
async function ask(address, piece) {
  try {
    const answer = await fetch(address);
    if (piece === PLAYER && (answer.status === 401 || answer.status === 404)) location.reload();
    if (!answer.ok) return undefined;
    return new DOMParser().parseFromString(await answer.text(), "text/html").querySelector(piece) ?? undefined;
  } catch {
    return undefined; // the network is away: it comes back
  }
}

/**
 * Let a link lead to what was searched for last.
 * @param {Element} link
 */
function leadBack(link) {
  const found = sessionStorage.getItem(FOUND);
  if (!found) return;
  link.setAttribute("href", found);
  link.textContent = link.getAttribute("data-results");
}

/**
 * Keep a package from being made twice by a second press, and show how far it is.
 * @param {HTMLFormElement} form
 */
function watchGiving(form) {
  let pressedAt = -Infinity;
  form.addEventListener("submit", (event) => {
    const button = /** @type {SubmitEvent} */ (event).submitter;
    if (button?.getAttribute("name") !== "confirm") return;
    if (event.timeStamp - pressedAt < 5 * LOOK_EVERY_MS) return event.preventDefault();
    pressedAt = event.timeStamp;
    const shown = document.querySelector(GIVEN);
    setTimeout(() => lookAtGiven(shown?.getAttribute("data-given-newest") ?? "", ""), LOOK_EVERY_MS);
  });
}

/**
 * Bring the list of packages up to date until the one that was just asked for has come to an end.
 * @param {string} before  the newest package before it
 * @param {string} said    the state that was said last
 */
async function lookAtGiven(before, said) {
  const shown = document.querySelector(GIVEN);
  if (!shown) return;
  const fresh = await ask(shown.getAttribute("data-given-url") ?? "", GIVEN);
  const state = fresh?.getAttribute("data-given-state") ?? "";
  const isNew = fresh?.getAttribute("data-given-newest") !== before;
  if (fresh) shown.replaceWith(fresh);
  const words = document.querySelector("[data-given-says]");
  if (words && fresh && isNew && state !== said) words.textContent = words.getAttribute(`data-${state}`);
  if (!fresh || !isNew || state === "sending") setTimeout(() => lookAtGiven(before, isNew ? state : ""), LOOK_EVERY_MS);
}

/**
 * Say five minutes before a visit ends in silence that it does, and let it go on.
 * @param {HTMLElement} box
 */
function warnBeforeTheEnd(box) {
  const words = box.querySelector("p");
  const wait = (Number(box.dataset.stay) - 5) * 60 * 1000;
  const say = (/** @type {string | undefined} */ text) => {
    box.hidden = false;
    if (words) words.textContent = text ?? "";
  };
  const begin = () => setTimeout(() => say(box.dataset.staySoon), wait);
  box.querySelector("button")?.addEventListener("click", async () => {
    try {
      const answer = await fetch(box.dataset.stayUrl ?? "");
      if (answer.status === 401) return say(box.dataset.stayOut);
      if (!answer.ok) return say(box.dataset.stayAway);
    } catch {
      return say(box.dataset.stayAway); // the network is away
    }
    box.hidden = true;
    document.getElementById("main-content")?.focus();
    begin();
  });
  begin();
}
