// @ts-check
// Everybody's connection in figures, for the booth: what the relay measures of each, and what comes here of them.

/** @typedef {{bits_per_second: number, loss: number, jitter_ms: number}} Way */
/** @typedef {{up: Way, down: Way, round_trip_ms: number | null, rung: string}} Said of the last five seconds */
/** @typedef {{freezes: number, concealed: number, width: number | null, height: number | null}} Seen freezes: since we look */
/** @typedef {(key: string, values?: Record<string, string | number>) => string} Say */

/**
 * Return pairs of what and how much.
 * @param {Said} said
 * @param {Seen | null} seen null of oneself, and while nothing has come
 * @param {Say} say
 * @returns {[string, string][]}
 */
export function pairs(said, seen, say) {
  const way = (/** @type {Way} */ one) =>
    say("figures.way", { bits: (one.bits_per_second / 1e6).toFixed(2), loss: percent(one.loss), jitter: Math.round(one.jitter_ms) });
  /** @type {[string, string][]} */
  const found = [
    [say("figures.rung"), say(`figures.rung.${said.rung}`)],
    [say("figures.up"), way(said.up)],
    [say("figures.down"), way(said.down)],
    [say("figures.trip"), said.round_trip_ms === null ? say("figures.unknown") : say("figures.ms", { ms: Math.round(said.round_trip_ms) })],
  ];
  if (!seen) return found;
  const { width, height, freezes } = seen;
  const size = width && height ? say("figures.size", { width, height }) : say("figures.none");
  found.push([say("figures.picture"), say("figures.stood", { size, freezes })]);
  found.push([say("figures.sound"), say("figures.concealed", { concealed: percent(seen.concealed) })]);
  return found;
}

/** @param {number} part 0 to 1 */
function percent(part) {
  return (part * 100).toFixed(1);
}

export class Figures {
  /** @param {HTMLElement} box @param {{say: Say, linkOf: (participant: string) => import("./call-tools.js").LinkState | undefined}} given */
  constructor(box, { say, linkOf }) {
    this.box = box;
    this.say = say;
    this.linkOf = linkOf;
    /** @type {Map<string, Seen>} by participant */
    this.seen = new Map();
  }

  /**
   * Take what came in the last five seconds.
   * @param {import("../js/figures.js").SlotSample[]} slots
   * @param {{slot: number, participant: string, screen: boolean}[]} seated
   */
  add(slots, seated) {
    for (const { slot, participant, screen } of seated) {
      const now = slots[slot];
      if (!now || screen) continue;
      const freezes = (this.seen.get(participant)?.freezes ?? 0) + now.freezes;
      this.seen.set(participant, { ...now, freezes });
    }
  }

  /** @param {{id: string, name_to_show: string, is_self: boolean}[]} people @param {string} self how oneself is called */
  draw(people, self) {
    const lines = people.flatMap((one) => {
      const said = this.linkOf(one.id)?.freshFigures;
      return said ? [{ name: one.is_self ? self : one.name_to_show, pairs: pairs(said, one.is_self ? null : (this.seen.get(one.id) ?? null), this.say) }] : [];
    });
    this.box.replaceChildren(...lines.flatMap(({ name, pairs }) => [heading(name), list(pairs)]));
  }
}

/** @param {string} text */
function heading(text) {
  const made = document.createElement("h2");
  made.className = "app-figures__who";
  made.textContent = text;
  return made;
}

/** @param {[string, string][]} pairs */
function list(pairs) {
  const made = document.createElement("dl");
  made.className = "app-figures";
  for (const [what, much] of pairs) {
    const [box, term, value] = ["div", "dt", "dd"].map((name) => document.createElement(name));
    term.textContent = what;
    value.textContent = much;
    box.append(term, value);
    made.append(box);
  }
  return made;
}
