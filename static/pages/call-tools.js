// @ts-check
// Small tools of a call's page: bars of the signal, a window of its own, loudspeakers, a plain picture for a camera that is off.

import { linkOf, signalOf } from "../js/signal.js";
import { listDevices } from "../js/devices.js";

/** @typedef {import("../js/signal.js").Link} Link */

const FRESH_MS = 12_000; // figures come every five seconds; older ones say nothing

/** One participant's link, joined from what the relay says and what this page measures itself. */
export class LinkState {
  constructor() {
    /** @type {Link} */
    this.link = {};
    this.at = 0;
    /** @type {any} the relay's figures as they came */
    this.said = null;
    this.saidAt = 0;
  }

  /** @param {any} said the relay's figures */
  hearQuality(said) {
    this.link = { ...this.link, ...linkOf(said) };
    this.said = said;
    this.at = this.saidAt = Date.now();
  }

  /** @param {string} rung */
  hearRung(rung) {
    this.link = { ...this.link, rung };
    this.at = Date.now();
  }

  /** @param {import("../js/figures.js").Sample} figures */
  hearOwn({ loss, concealed, round_trip_ms }) {
    this.link = { ...this.link, concealed, loss: Math.max(loss, this.link.loss ?? 0), round_trip_ms: round_trip_ms ?? this.link.round_trip_ms };
    this.at = Date.now();
  }

  /** @returns {import("./call-figures.js").Said | null} null while nothing is known */
  get freshFigures() {
    return Date.now() - this.saidAt < FRESH_MS ? this.said : null;
  }

  /** @returns {ReturnType<typeof signalOf> | null} null while nothing is known */
  get signal() {
    return Date.now() - this.at < FRESH_MS ? signalOf(this.link) : null;
  }
}

/**
 * Show bars with their word beside them; nothing while nothing is known.
 * @param {HTMLElement} element holds .app-signal__words
 * @param {ReturnType<typeof signalOf> | null} signal
 * @param {(strength: string) => string} words
 */
export function drawSignal(element, signal, words) {
  element.hidden = signal === null;
  if (!signal) return;
  element.dataset.bars = String(signal.bars);
  const said = words(signal.strength);
  const place = /** @type {HTMLElement} */ (element.querySelector(".app-signal__words"));
  if (place.textContent !== said) place.textContent = said;
}

/** Whether a picture can stand in a small window over other apps. */
export function canFloat() {
  return document.pictureInPictureEnabled === true;
}

/** Put the picture into a small window, or back. @param {HTMLVideoElement | null} video */
export async function float(video) {
  if (document.pictureInPictureElement) await document.exitPictureInPicture();
  else if (video && video.readyState > 0) await video.requestPictureInPicture();
}

/** Whether the page may choose the loudspeaker; on iPhones only the phone itself can. */
export function canChooseSpeaker() {
  return "setSinkId" in HTMLMediaElement.prototype;
}

/**
 * Fill a list of loudspeakers; hide its group while there is nothing to choose.
 * @param {HTMLElement} group
 * @param {HTMLSelectElement} select
 * @param {(n: number) => string} nameless
 */
export async function fillSpeakers(group, select, nameless) {
  const found = canChooseSpeaker() ? (await listDevices()).filter((one) => one.kind === "audiooutput" && one.id !== "communications") : [];
  const chosen = select.value;
  select.replaceChildren(...found.map((one, n) => new Option(one.label || nameless(n + 1), one.id)));
  if (found.some((one) => one.id === chosen)) select.value = chosen;
  group.hidden = found.length < 2;
}

/** A plain picture that stands where a camera would: the colour of a wall, and the outline of a person. @returns {MediaStreamTrack} */
export function plainPicture() {
  const canvas = document.createElement("canvas");
  canvas.width = 640;
  canvas.height = 360;
  const pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  const paint = () => {
    pen.fillStyle = "#2b4257";
    pen.fillRect(0, 0, 640, 360);
    pen.fillStyle = "#8ea3b5";
    pen.beginPath();
    pen.arc(320, 140, 56, 0, 2 * Math.PI);
    pen.fill();
    pen.beginPath();
    pen.ellipse(320, 330, 120, 110, 0, Math.PI, 0);
    pen.fill();
  };
  paint();
  const [track] = canvas.captureStream(2).getVideoTracks();
  const timer = setInterval(() => (track.readyState === "ended" ? clearInterval(timer) : paint()), 500); // a still canvas sends nothing
  return track;
}
