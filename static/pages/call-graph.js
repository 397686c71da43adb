// @ts-check
// The booth's graph of one link: what arrives from the person and what is lost, the last five minutes.

const POINTS = 60; // one each five seconds
const [WIDTH, HEIGHT] = [300, 60];
const LEAST_TOP = 500_000;
const SVG = "http://www.w3.org/2000/svg";

/** @typedef {{bits: number, loss: number}} Point */

/**
 * @param {Point[]} points oldest first
 * @returns {{line: string, losses: {x: number, height: number}[], topBits: number}} coordinates in the picture
 */
export function shape(points) {
  const topBits = Math.max(LEAST_TOP, ...points.map((one) => one.bits));
  const step = WIDTH / (POINTS - 1);
  const first = POINTS - points.length;
  const at = (/** @type {number} */ n) => Math.round((first + n) * step * 10) / 10;
  return {
    line: points.map((one, n) => `${at(n)},${Math.round((HEIGHT - (one.bits / topBits) * HEIGHT) * 10) / 10}`).join(" "),
    losses: points.flatMap((one, n) => (one.loss >= 0.005 ? [{ x: at(n), height: Math.round(Math.min(1, one.loss * 5) * HEIGHT) }] : [])),
    topBits,
  };
}

export class Graph {
  /** @param {HTMLElement} box @param {(key: string, values: Record<string, string>) => string} say */
  constructor(box, say) {
    this.box = box;
    this.say = say;
    /** @type {Point[]} */
    this.points = [];
    this.svg = document.createElementNS(SVG, "svg");
    this.svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
    this.svg.setAttribute("role", "img");
    this.svg.setAttribute("class", "app-graph__picture");
    this.svg.setAttribute("preserveAspectRatio", "none");
    this.words = document.createElement("p");
    this.words.className = "app-graph__words";
    box.append(this.svg, this.words);
  }

  /** @param {{up: {bits_per_second: number, loss: number}, down: {bits_per_second: number, loss: number}, round_trip_ms: number | null}} said */
  add(said) {
    this.points = [...this.points, { bits: said.up.bits_per_second, loss: Math.max(said.up.loss, said.down.loss) }].slice(-POINTS);
    this.draw(said.round_trip_ms);
  }

  /** @param {number | null} roundTripMs */
  draw(roundTripMs) {
    const { line, losses } = shape(this.points);
    const curve = document.createElementNS(SVG, "polyline");
    curve.setAttribute("points", line);
    curve.setAttribute("class", "app-graph__line");
    const bars = losses.map(({ x, height }) => {
      const bar = document.createElementNS(SVG, "rect");
      for (const [name, value] of Object.entries({ x: x - 2, y: HEIGHT - height, width: 4, height })) bar.setAttribute(name, String(value));
      bar.setAttribute("class", "app-graph__loss");
      return bar;
    });
    this.svg.replaceChildren(...bars, curve);
    const last = this.points[this.points.length - 1];
    const said = this.say("graphNow", {
      bits: (last.bits / 1e6).toFixed(1),
      loss: String(Math.round(last.loss * 100)),
      worst: String(Math.round(Math.max(...this.points.map((one) => one.loss)) * 100)),
      trip: roundTripMs === null ? "–" : String(Math.round(roundTripMs)),
    });
    this.words.textContent = said;
    this.svg.setAttribute("aria-label", said);
    this.box.hidden = false;
  }
}
