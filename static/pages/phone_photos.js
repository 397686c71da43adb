// @ts-check
// Photos of this device shown in the call, one at a time, as a shared screen: phones cannot share a real one. Only what is
// on the canvas goes out: no file is sent, and neither the place in a photo nor its name.

import { one } from "./phone_page.js";

const [WIDTH, HEIGHT] = [1280, 960];
const REPAINT_MS = 400; // a still canvas sends nothing, and who sends nothing counts as no longer sharing
const MOST = 100;

/**
 * Return where a picture stands on the canvas: whole, as large as fits, in the middle.
 * @param {number} width
 * @param {number} height
 */
function place(width, height) {
  const scale = Math.min(WIDTH / width, HEIGHT / height);
  const [w, h] = [Math.round(width * scale), Math.round(height * scale)];
  return { x: Math.round((WIDTH - w) / 2), y: Math.round((HEIGHT - h) / 2), w, h };
}

/** Events: "begun" {track}: the first photo is on the canvas; "stop": the person wants to end it; "problem": the only photo cannot be shown. */
export class Photos extends EventTarget {
  /** @param {HTMLElement} section the call's section @param {Record<string, string>} words photo_n: "Photo {n} of {count}", photo_problem */
  constructor(section, words) {
    super();
    this.words = words;
    this.box = one(section, "[data-photos]");
    this.stage = section;
    this.canvas = /** @type {HTMLCanvasElement} */ (one(this.box, "canvas"));
    this.input = /** @type {HTMLInputElement} */ (one(section, "[data-photo-files]"));
    /** @type {File[]} */
    this.files = [];
    this.at = 0;
    /** @type {ImageBitmap | null} */
    this.picture = null;
    /** @type {MediaStreamTrack | null} */
    this.track = null;
    this.timer = 0;
    this.input.addEventListener("change", () => void this.#begin([...(this.input.files ?? [])].slice(0, MOST)));
    this.box.addEventListener("click", (event) => {
      const pressed = /** @type {HTMLElement | null} */ (/** @type {Element} */ (event.target).closest("[data-photos-do]"));
      const step = { back: -1, next: 1 }[pressed?.dataset.photosDo ?? ""];
      if (step) void this.#show(this.at + step);
      else if (pressed) this.dispatchEvent(new Event("stop"));
    });
  }

  /** Let the person choose photos; browsers allow it only in the very moment of a press. */
  choose() {
    this.input.value = ""; // the same ones again are a choice too
    this.input.click();
  }

  end() {
    clearInterval(this.timer);
    this.track?.stop();
    this.track = null;
    this.picture?.close();
    this.picture = null;
    this.files = [];
    this.#open(false);
  }

  /** @param {File[]} files */
  async #begin(files) {
    if (!files.length) return;
    this.files = files;
    if (!(await this.#show(0)) || this.track) return;
    const [track] = this.canvas.captureStream(5).getVideoTracks();
    track.contentHint = "detail";
    this.track = track;
    this.timer = setInterval(() => this.#paint(), REPAINT_MS);
    this.#open(true);
    this.dispatchEvent(new CustomEvent("begun", { detail: { track } }));
  }

  /** @param {number} n @returns {Promise<boolean>} whether it is shown */
  async #show(n) {
    const file = this.files[n];
    if (!file) return false;
    this.at = n;
    const read = await createImageBitmap(file).catch(() => null); // turned upright, as the camera noted
    if (this.files[this.at] !== file) {
      read?.close(); // another was wanted meanwhile, or none
      return false;
    }
    this.picture?.close();
    this.picture = read; // what cannot be shown leaves no other photo standing in its place
    if (!read && this.files.length === 1) this.dispatchEvent(new Event("problem"));
    this.#paint();
    this.#name();
    return read !== null || this.files.length > 1;
  }

  #paint() {
    const pen = /** @type {CanvasRenderingContext2D} */ (this.canvas.getContext("2d"));
    pen.fillStyle = "#0b0c0c";
    pen.fillRect(0, 0, WIDTH, HEIGHT);
    if (!this.picture) return;
    const { x, y, w, h } = place(this.picture.width, this.picture.height);
    pen.drawImage(this.picture, x, y, w, h);
  }

  #name() {
    const said = (this.picture ? this.words.photo_n : this.words.photo_problem).replace("{n}", String(this.at + 1)).replace("{count}", String(this.files.length));
    one(this.box, "[data-photo-words]").textContent = said;
    const [back, next] = ["back", "next"].map((name) => /** @type {HTMLButtonElement} */ (one(this.box, `[data-photos-do="${name}"]`)));
    back.hidden = next.hidden = this.files.length < 2;
    back.setAttribute("aria-disabled", String(this.at === 0)); // stays where the finger and the focus are
    next.setAttribute("aria-disabled", String(this.at === this.files.length - 1));
  }

  /** @param {boolean} open */
  #open(open) {
    this.box.hidden = !open;
    this.stage.dataset.showing = open ? "open" : ""; // makes room
  }
}
