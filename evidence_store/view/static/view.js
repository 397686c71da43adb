// What the pages do more where scripts run: move along lists by arrow keys, and bring what is said into focus.

const said = document.querySelector("[data-focus]");
if (said instanceof HTMLElement) said.focus();

for (const list of document.querySelectorAll("[data-rows]")) {
  list.addEventListener("keydown", (event) => {
    if (event instanceof KeyboardEvent) move(list, event);
  });
}

/**
 * Move the focus to another row's link; only from such a link, so that no other key is taken from anybody.
 * @param {Element} list
 * @param {KeyboardEvent} event
 */
function move(list, event) {
  const links = [...list.querySelectorAll("a[data-row]")];
  const here = links.findIndex((link) => link === document.activeElement);
  if (here < 0 || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
  const to = { ArrowDown: here + 1, ArrowUp: here - 1, Home: 0, End: links.length - 1 }[event.key];
  const link = to === undefined ? undefined : links[to];
  if (!(link instanceof HTMLElement)) return;
  event.preventDefault();
  link.focus();
}
