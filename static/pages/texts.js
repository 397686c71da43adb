// The demo's phones: looks for new texts every few seconds and swaps them in, without moving what is being read.

const EVERY_MS = 3000;

const phones = /** @type {HTMLElement} */ (document.querySelector("[data-texts]"));
const stale = /** @type {HTMLElement} */ (document.querySelector("[data-texts-stale]"));

/** @returns {HTMLElement[]} the scrolling screens of all phones */
function screens() {
  return /** @type {HTMLElement[]} */ ([...phones.querySelectorAll("[role=log]")]);
}

function scrollToNewest() {
  for (const screen of screens()) screen.scrollTop = screen.scrollHeight;
}

async function look() {
  const response = await fetch(location.href, { headers: { Accept: "text/html" }, cache: "no-store" });
  if (!response.ok) throw new Error(String(response.status));
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  const fresh = page.querySelector("[data-texts]");
  if (fresh === null || fresh.isEqualNode(phones)) return;
  const focused = phones.contains(document.activeElement) ? document.activeElement : null;
  const place = focused?.closest("li")?.id;
  phones.replaceChildren(...fresh.childNodes);
  scrollToNewest();
  if (place) /** @type {HTMLElement | null} */ (document.getElementById(place)?.querySelector("a") ?? null)?.focus();
}

async function keepLooking() {
  if (!document.hidden) {
    try {
      await look();
      stale.hidden = true;
    } catch {
      stale.hidden = false;
    }
  }
  setTimeout(keepLooking, EVERY_MS);
}

scrollToNewest();
setTimeout(keepLooking, EVERY_MS);
