// The end of the call: an outcome, one question, then the summary.

import { post } from "../js/post.js";
import { ask, find, get, show } from "./booth-page.js";

/**
 * @param {{words: import("./booth-page.js").Words, save: () => Promise<boolean>, isUnsigned: () => boolean, beforeLeaving: () => void}} given
 *   save: all that was typed, false when that failed; isUnsigned: a statement is being written or read
 */
export function startEnd({ words, save, isUnsigned, beforeLeaving }) {
  const form = get("end-form", HTMLFormElement);
  const problem = get("end-problem", HTMLElement);
  const first = find(form, "input[name=outcome]", HTMLInputElement);
  let busy = false;

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (busy) return;
    const chosen = form.querySelector("input[name=outcome]:checked");
    if (!(chosen instanceof HTMLInputElement)) {
      show(problem, words.say("chooseOutcome"));
      first.focus();
      return;
    }
    show(problem, "");
    const outcome = chosen.labels?.[0]?.textContent?.trim() ?? "";
    busy = true;
    if (await ask(words.say(isUnsigned() ? "endUnsigned" : "endSure", { outcome }), words.say("endNow"))) await end(chosen.value);
    busy = false;
  });

  /** @param {string} outcome */
  async function end(outcome) {
    if (!(await save())) return show(problem, words.say("endUnsaved"));
    const answer = await post(form.action, { outcome });
    if (!answer.ok) return show(problem, answer.said || words.say("offline"));
    beforeLeaving();
    location.assign(answer.body.next);
  }

  get("go-to-end", HTMLAnchorElement).addEventListener("click", (event) => {
    event.preventDefault();
    get("end-call", HTMLElement).scrollIntoView({ block: "nearest" });
    first.focus();
  });
}
