// @ts-check
// The call page's own elements: sections, words, the link to copy, a screen that stays on.

export const root = one(document, "#call");
const given = JSON.parse(one(document, "#call-data").textContent ?? "{}");

/**
 * Show one section, name the page after it and put the reader at its start.
 * @param {string} name
 * @param {string | undefined} title else the section's heading
 */
export function showSection(name, title) {
  root.hidden = false;
  for (const element of root.querySelectorAll("[data-section]")) {
    const each = /** @type {HTMLElement} */ (element);
    each.hidden = each.dataset.section !== name;
  }
  document.body.dataset.stage = name;
  const heading = one(root, `[data-section="${name}"] [data-heading]`);
  document.title = title ?? heading.textContent ?? "";
  heading.focus({ preventScroll: true });
  scrollTo(0, 0);
}

/**
 * Put words into elements; the same words again are not announced again.
 * @param {string} selector
 * @param {string} text
 */
export function say(selector, text) {
  for (const element of root.querySelectorAll(selector)) if (element.textContent !== text) element.textContent = text;
}

/** Copy the link that stands beside the pressed button. @param {HTMLElement} button */
export async function copyLink(button) {
  const box = /** @type {HTMLElement} */ (button.closest("div"));
  const link = /** @type {HTMLInputElement} */ (one(box, "[data-link]"));
  link.select();
  try {
    await navigator.clipboard.writeText(link.value);
  } catch {
    document.execCommand("copy"); // in-app browsers have nothing newer
  }
  one(box, "[data-copied]").textContent = given.words.copied;
}

/** @type {WakeLockSentinel | null} */
let awake = null;

/** Keep the screen on; phones forget that whenever the page was out of sight. */
export async function stayAwake() {
  try {
    awake = (await navigator.wakeLock?.request("screen")) ?? null;
  } catch {
    awake = null; // battery saver: the person was asked to keep the screen on
  }
}

export function letSleep() {
  void awake?.release().catch(() => {});
  awake = null;
}

/**
 * @param {ParentNode} parent
 * @param {string} selector
 * @returns {HTMLElement}
 */
export function one(parent, selector) {
  const found = parent.querySelector(selector);
  if (!found) throw new Error(`the page has no ${selector}`);
  return /** @type {HTMLElement} */ (found);
}
