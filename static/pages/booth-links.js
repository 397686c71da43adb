// @ts-check
// How everybody's link does: told by the relay, by their pages and by our own; drawn as figures and as a graph.

import { Words, get } from "./booth-page.js";
import { Figures } from "./call-figures.js";
import { Graph } from "./call-graph.js";
import { LinkState } from "./call-tools.js";

export class Links {
  /** @param {Words} words */
  constructor(words) {
    this.words = words;
    /** @type {Map<string, LinkState>} by participant */
    this.states = new Map();
    this.graph = new Graph(get("graph", HTMLElement), words.say.bind(words));
    this.figures = new Figures(get("figures", HTMLElement), { say: words.say.bind(words), linkOf: (participant) => this.find(participant) });
  }

  /** @param {string} participant */
  find(participant) {
    return this.states.get(participant);
  }

  /** @param {string} participant */
  of(participant) {
    let found = this.states.get(participant);
    if (!found) this.states.set(participant, (found = new LinkState()));
    return found;
  }

  /** What the relay has seen of a link lately. @param {any} said @param {any} room */
  hear(said, room) {
    this.of(said.of).hearQuality(said);
    this.figures.draw(room?.people ?? [], this.words.say("figures.self"));
    get("graph-part", HTMLElement).hidden = false;
    if (said.of === room?.admitted) this.graph.add(said);
  }

  /** What our own page has seen of it. @param {any} seen @param {string | undefined} me @param {import("../js/media.js").Call["people"]} people */
  hearOwn(seen, me, people) {
    if (me) this.of(me).hearOwn(seen);
    this.figures.add(seen.slots, people);
  }
}
