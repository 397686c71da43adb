// The end of the call: an outcome, one question, then the summary.

import { post } from "../js/post.js";
import { ask, find, get, show } from "./booth-page.js";

/** @param {{words: import("./booth-page.js").Words, saveNotes: () => Promise<unknown>, beforeLeaving: () => void}} given */
export function startEnd({ words, saveNotes, beforeLeaving }) {
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
    if (await ask(words.say("endSure", { outcome }), words.say("endNow"))) {
      await saveNotes();
      const answer = await post(form.action, { outcome: chosen.value });
      if (answer.ok) {
        beforeLeaving();
        location.assign(answer.body.next);
      } else {
        show(problem, answer.said || words.say("offline"));
      }
    }
    busy = false;
  });

  get("go-to-end", HTMLAnchorElement).addEventListener("click", (event) => {
    event.preventDefault();
    get("end-call", HTMLElement).scrollIntoView({ block: "nearest" });
    first.focus();
  });
}
