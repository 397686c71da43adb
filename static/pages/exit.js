// The way out. Loaded on every page a victim sees; without it the form posts and the answer leads away.
//
// Order matters: hide first, silence second, tell the server third, leave last. Nothing here waits for an answer.
// Escape does nothing: screen readers and dialogs use it all the time.

const PRESSES = 3;
const WITHIN_MS = 5000;

/** The event other scripts of the page hear to let go of cameras, microphones and sockets. */
export const LEAVING = "app:leaving";

const box = /** @type {HTMLElement | null} */ (document.querySelector("[data-exit]"));
const form = /** @type {HTMLFormElement | null} */ (document.querySelector("[data-exit-form]"));

/** Leave this page for the neutral site, in place of this page in the browser's history. */
function leave() {
  if (!form) return;
  document.documentElement.classList.add("app-hidden");
  document.title = form.dataset.title ?? "";
  try {
    silence();
  } finally {
    tell(form.action);
    location.replace(form.dataset.neutralSite ?? "about:blank");
  }
}

function silence() {
  for (const player of document.querySelectorAll("video, audio")) {
    const media = /** @type {HTMLMediaElement} */ (player);
    media.muted = true;
    if (media.srcObject instanceof MediaStream) for (const track of media.srcObject.getTracks()) track.stop();
    media.srcObject = null;
  }
  document.dispatchEvent(new Event(LEAVING));
  sessionStorage.clear(); // names of files that were begun and, after a reload, not gone on with
}

/**
 * Tell the server that this was on purpose; the browser delivers it after the page is gone.
 * @param {string} address
 */
function tell(address) {
  if (!navigator.sendBeacon?.(address)) void fetch(address, { method: "POST", keepalive: true }).catch(() => {});
}

let presses = 0;
let first = 0;

/** @param {KeyboardEvent} event */
function count(event) {
  if (event.repeat) return;
  if (event.key !== "Shift") {
    presses = 0; // a capital letter, or a shortcut
    return;
  }
  if (presses === 0 || event.timeStamp - first > WITHIN_MS) {
    presses = 0;
    first = event.timeStamp;
  }
  presses += 1;
  if (presses >= PRESSES) leave();
  else announce(presses === 1 ? box?.dataset.twoMore : box?.dataset.oneMore);
}

const said = document.createElement("span");
said.className = "govuk-visually-hidden";
said.setAttribute("role", "status");
/** @type {ReturnType<typeof setTimeout> | undefined} */
let clearing;

/** @param {string | undefined} words */
function announce(words) {
  said.textContent = words ?? "";
  clearTimeout(clearing);
  clearing = setTimeout(() => {
    presses = 0;
    said.textContent = box?.dataset.timedOut ?? "";
    clearing = setTimeout(() => (said.textContent = ""), WITHIN_MS);
  }, WITHIN_MS);
}

if (box && form) {
  box.append(said);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    leave();
  });
  document.addEventListener("keydown", count, { capture: true });
  // A page the browser kept in memory may be out of date: the session may have ended.
  addEventListener("pageshow", (event) => {
    if (!event.persisted) return;
    document.documentElement.classList.add("app-hidden");
    location.reload();
  });
}
