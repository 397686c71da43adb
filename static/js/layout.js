// Who is shown large. Pure: what is known goes in, with the time.
//
// A shared screen comes before faces. Somebody who signs is always large: who needs them must see hands. Beside them,
// or alone, is who speaks; the picture changes only when somebody has spoken for a while, so that a cough moves nothing.

export const SPEAKS = 0.02;
const SPEAKS_FOR_MS = 800;
const STAYS_FOR_MS = 2500;

/**
 * @typedef {object} Seen somebody whose slot carries something
 * @property {number} slot
 * @property {string} participant
 * @property {boolean} screen
 * @property {boolean} signs a BSL interpreter
 * @property {number} rank who is large while nobody has spoken: the lowest
 */

/**
 * @typedef {object} Floor who has the floor
 * @property {string} speaker participant shown large, "" at the start
 * @property {number} since
 * @property {Record<string, number>} began by participant: since when they speak, 0 while they do not
 */

/** @returns {Floor} */
export function nobody() {
  return { speaker: "", since: 0, began: {} };
}

/**
 * Return who has the floor now.
 * @param {Floor} before
 * @param {Seen[]} seen
 * @param {number[]} levels by slot, 0 to 1
 * @param {number} now ms
 * @returns {Floor}
 */
export function follow(before, seen, levels, now) {
  const faces = seen.filter((one) => !one.screen);
  /** @type {Record<string, number>} */
  const began = {};
  for (const { participant, slot } of faces) {
    began[participant] = (levels[slot] ?? 0) > SPEAKS ? before.began[participant] || now : 0;
  }
  const isHere = faces.some((one) => one.participant === before.speaker);
  const candidates = faces.filter((one) => !one.signs);
  const loudest = candidates
    .filter((one) => began[one.participant] > 0 && now - began[one.participant] >= SPEAKS_FOR_MS)
    .sort((a, b) => (levels[b.slot] ?? 0) - (levels[a.slot] ?? 0))[0];
  const mayChange = !isHere || (now - before.since >= STAYS_FOR_MS && !began[before.speaker]);
  if (loudest && loudest.participant !== before.speaker && mayChange) return { speaker: loudest.participant, since: now, began };
  if (isHere) return { ...before, began };
  const first = [...(candidates.length ? candidates : faces)].sort((a, b) => a.rank - b.rank)[0];
  return { speaker: first?.participant ?? "", since: now, began };
}

/**
 * Return the slots shown large and those shown small, each in the order of the slots.
 * @param {Floor} floor
 * @param {Seen[]} seen
 * @returns {{large: number[], small: number[]}}
 */
export function arrange(floor, seen) {
  const screens = seen.filter((one) => one.screen);
  const isLarge = (/** @type {Seen} */ one) =>
    one.screen || (one.signs && !one.screen) || (!screens.length && one.participant === floor.speaker);
  return { large: seen.filter(isLarge).map((one) => one.slot), small: seen.filter((one) => !isLarge(one)).map((one) => one.slot) };
}
