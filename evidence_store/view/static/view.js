// What the pages do more where scripts run: bring what is said into focus, and show the player once it is there.

const said = document.querySelector("[data-focus]");
if (said instanceof HTMLElement) said.focus();

const LOOK_EVERY_MS = 1000;
const waiting = document.querySelector("[data-player=making]");
if (waiting) setTimeout(() => look(waiting), LOOK_EVERY_MS);

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
  const fresh = await ask(shown.getAttribute("data-player-url") ?? "");
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
 * Return the player as the store has it now; undefined while it cannot be asked. Who is out is told so by the page.
 * @param {string} address
 */
async function ask(address) {
  try {
    const answer = await fetch(address);
    if (answer.status === 401 || answer.status === 404) location.reload();
    if (!answer.ok) return undefined;
    return new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("[data-player]") ?? undefined;
  } catch {
    return undefined; // the network is away: it comes back
  }
}
