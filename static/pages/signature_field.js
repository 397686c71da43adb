// @ts-check
// The box that is signed in with a finger: the points are kept with their times, and come back when the phone is turned.

import SignaturePad from "../lib/signature_pad.min.js";

export class SignatureField {
  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    this.canvas = canvas;
    this.pad = new SignaturePad(canvas, { minWidth: 1.2, maxWidth: 3.2, penColor: "#0b0c0c" });
    new ResizeObserver(() => this.fit()).observe(canvas);
  }

  clear() {
    this.pad.clear();
  }

  /** What was drawn, or null: strokes of [x, y, milliseconds since the first point, pressure from 0 to 1]. */
  read() {
    const strokes = this.pad.toData().map((group) => group.points);
    const start = strokes[0]?.[0]?.time;
    if (start === undefined) return null;
    const round = (/** @type {number} */ value) => Math.round(value * 100) / 100;
    return {
      width: round(this.canvas.clientWidth),
      height: round(this.canvas.clientHeight),
      strokes: strokes.map((points) => points.map((at) => [round(at.x), round(at.y), Math.max(0, Math.round(at.time - start)), Math.min(1, Math.max(0, at.pressure || 0))])),
    };
  }

  /** A canvas forgets when its size changes (the phone was turned): draw the strokes again. */
  fit() {
    const ratio = Math.max(1, devicePixelRatio || 1);
    const [width, height] = [Math.round(this.canvas.clientWidth * ratio), Math.round(this.canvas.clientHeight * ratio)];
    if (!width || (this.canvas.width === width && this.canvas.height === height)) return;
    const strokes = this.pad.toData();
    this.canvas.width = width;
    this.canvas.height = height;
    this.canvas.getContext("2d")?.scale(ratio, ratio);
    this.pad.clear();
    if (strokes.length) this.pad.fromData(strokes);
  }
}
