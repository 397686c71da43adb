// @ts-check
// The statement as a supervisor who only listens sees it: it grows as it is saved, and nothing in it can be pressed.

import { get, write } from "./booth-page.js";

/** @typedef {(key: string, values?: Record<string, string | number>) => string} Say */

/** @param {any} statement @param {Say} say */
export function drawSeen(statement, say) {
  get("statement-seen", HTMLElement).hidden = false;
  const about = [
    say("seenName", { name: statement.name }),
    statement.age ? say("seenAge", { age: statement.age }) : "",
    statement.reader ? say("seenReader", { reader: statement.reader }) : "",
    statement.interpreting?.name && statement.interpreting.language ? say("seenInterpreter", statement.interpreting) : "",
    statement.interpreting && !statement.interpreting.waits ? say("seenInterpreted") : "",
  ];
  write(get("statement-seen-about", HTMLElement), about.filter(Boolean).join(" "));
  const text = get("statement-seen-text", HTMLElement);
  text.lang = statement.language;
  text.replaceChildren(...statement.paragraphs.map((/** @type {any} */ one) => paragraph(one, statement.interpreting, say)));
  get("statement-seen-exhibits", HTMLElement).replaceChildren(
    ...statement.exhibits.map((/** @type {any} */ { mark, description }) => element("li", "", `${mark} ${description}`)),
  );
}

/** @param {{text: string, original: string, answer: string | null}} one @param {{spoken: string, direction: string} | null} interpreting @param {Say} say */
function paragraph({ text, original, answer }, interpreting, say) {
  const item = element("li", "", text);
  if (interpreting) item.append(Object.assign(element("p", "app-seen__original", original), { lang: interpreting.spoken, dir: interpreting.direction }));
  if (answer) item.append(" ", element("strong", answer === "wrong" ? "app-draft__wrong" : "", say(`seen.${answer}`)));
  return item;
}

/** @param {string} tag @param {string} className @param {string} text */
function element(tag, className, text) {
  return Object.assign(document.createElement(tag), { className, textContent: text });
}
