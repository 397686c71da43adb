// What the pages do more where scripts run: bring what is said into focus.

const said = document.querySelector("[data-focus]");
if (said instanceof HTMLElement) said.focus();
