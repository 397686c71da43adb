// @ts-check
// One press of a button is one deed, although the page moves under the finger.
//
// A browser gives a click to what lies under the finger when it is lifted, and Safari on a phone then to nobody. When
// something above the button has appeared since the finger came down, the press would be lost without a word.

const STILL_PX = 24; // further than this the finger was moved away, as people do who change their mind
const NO_CLICK_MS = 400; // for so long after the finger was lifted its click may come

/** @typedef {{button: HTMLElement, x: number, y: number}} Press */

/**
 * Call `act` with each button that is pressed, by a finger, a mouse, a key or a screen reader.
 * @param {HTMLElement} root
 * @param {string} buttons selector
 * @param {(button: HTMLElement) => unknown} act
 */
export function onPress(root, buttons, act) {
  /** @type {Press | null} where a finger came down on a button */
  let began = null;
  let isTaken = false; // without its click, which may come late
  const find = (/** @type {EventTarget | null} */ target) => {
    const found = target instanceof Element ? target.closest(buttons) : null;
    return found instanceof HTMLElement && root.contains(found) ? found : null;
  };
  const take = (/** @type {HTMLElement | null} */ button) => {
    began = null;
    if (button && button.getClientRects().length > 0) act(button); // what has gone from the page does nothing
  };
  document.addEventListener("pointerdown", (event) => {
    const button = event.isPrimary && event.button === 0 ? find(event.target) : null;
    began = button && { button, x: event.clientX, y: event.clientY };
    isTaken = false;
  });
  document.addEventListener("pointercancel", () => (began = null)); // it became a scroll
  document.addEventListener("pointerup", (event) => {
    const press = began;
    if (!press || !isStill(press, event)) return;
    setTimeout(() => {
      if (began !== press) return;
      isTaken = true;
      take(press.button);
    }, NO_CLICK_MS);
  });
  // not on root: where the button stood, there may now be something outside of it
  document.addEventListener("click", (event) => {
    if (isTaken && event.detail > 0) return;
    take(began && event.detail > 0 && isStill(began, event) ? began.button : find(event.target));
  });
}

/** @param {Press} press @param {MouseEvent} event */
function isStill(press, event) {
  return Math.hypot(event.clientX - press.x, event.clientY - press.y) < STILL_PX;
}
