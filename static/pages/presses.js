// @ts-check
// One press of a button is one deed, although the page moves under the finger.
//
// A browser gives a click to what lies under the finger when it is lifted. When something above the button has appeared
// since the finger came down, that is not the button any more, and the press would be lost without a word.

const STILL_PX = 24; // further than this the finger was moved away, as people do who change their mind

/**
 * Call `act` with each button that is pressed, by a finger, a mouse, a key or a screen reader.
 * @param {HTMLElement} root
 * @param {string} buttons selector
 * @param {(button: HTMLElement) => unknown} act
 */
export function onPress(root, buttons, act) {
  /** @type {{button: HTMLElement, x: number, y: number} | null} where a finger came down on a button */
  let began = null;
  const find = (/** @type {EventTarget | null} */ target) => {
    const found = target instanceof Element ? target.closest(buttons) : null;
    return found instanceof HTMLElement && root.contains(found) ? found : null;
  };
  document.addEventListener("pointerdown", (event) => {
    const button = event.isPrimary ? find(event.target) : null;
    began = button && { button, x: event.clientX, y: event.clientY };
  });
  document.addEventListener("pointercancel", () => (began = null)); // it became a scroll
  // not on root: where the button stood, there may now be something outside of it
  document.addEventListener("click", (event) => {
    const press = began;
    began = null;
    const isStill = press && event.detail > 0 && Math.hypot(event.clientX - press.x, event.clientY - press.y) < STILL_PX;
    const button = isStill ? press.button : find(event.target);
    if (button && button.getClientRects().length > 0) act(button); // what has gone from the page does nothing
  });
}
