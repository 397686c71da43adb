// How good a connection is, as bars. Pure.

/**
 * @typedef {object} Link what relay and browser measured in the last five seconds; what is not known is left out
 * @property {string} [rung] "full", "smaller", "no_picture", "sound_only", "ring"
 * @property {number} [loss] worse of both ways, 0 to 1
 * @property {number | null} [round_trip_ms]
 * @property {number} [jitter_ms]
 * @property {number} [concealed] 0 to 1
 */

/** @typedef {"good" | "fair" | "weak" | "poor" | "none"} Strength */

/** By rung the most bars it may show. @type {Record<string, number>} */
const MOST = { full: 4, smaller: 3, no_picture: 2, sound_only: 1, ring: 0 };
/** @type {Strength[]} */
const STRENGTHS = ["none", "poor", "weak", "fair", "good"];
/** From these values on a bar is lost: one, two, three. */
const LOSS = [0.02, 0.05, 0.12];
const TRIP_MS = [250, 500, 1000];
const JITTER_MS = [40, 80, 160];
const CONCEALED = [0.02, 0.05, 0.12];

/**
 * Return 0 to 4 bars and their word.
 * @param {Link} link
 * @returns {{bars: number, strength: Strength}}
 */
export function signalOf({ rung = "full", loss = 0, round_trip_ms = null, jitter_ms = 0, concealed = 0 }) {
  const steps = [steps4(loss, LOSS), steps4(round_trip_ms ?? 0, TRIP_MS), steps4(jitter_ms, JITTER_MS), steps4(concealed, CONCEALED)];
  const bars = Math.min(MOST[rung] ?? 4, rung === "ring" ? 0 : Math.max(1, 4 - Math.max(...steps)));
  return { bars, strength: STRENGTHS[bars] };
}

/**
 * @param {number} value
 * @param {number[]} limits
 */
function steps4(value, limits) {
  return limits.filter((limit) => value >= limit).length;
}

/**
 * Flatten the relay's figures.
 * @param {{up: {loss: number, jitter_ms: number}, down: {loss: number, jitter_ms: number}, round_trip_ms: number | null, rung: string}} said
 * @returns {Link}
 */
export function linkOf({ up, down, round_trip_ms, rung }) {
  return { rung, loss: Math.max(up.loss, down.loss), jitter_ms: Math.max(up.jitter_ms, down.jitter_ms), round_trip_ms };
}
