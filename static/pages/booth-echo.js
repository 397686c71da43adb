// The officer's check through the relay: their own picture and sound, sent there and back, before they go on camera.

import { Call } from "../js/media.js";
import { signalOf } from "../js/signal.js";
import { get, write } from "./booth-page.js";

const WITHIN_MS = 15_000;

export class Echo {
  /** @param {{words: import("./booth-page.js").Words, makeCall: (stream: MediaStream) => Call, getStream: () => MediaStream|null}} given */
  constructor({ words, makeCall, getStream }) {
    this.words = words;
    this.makeCall = makeCall;
    this.getStream = getStream;
    /** @type {Call|null} */
    this.call = null;
    this.timer = 0;
    this.button = get("echo-start", HTMLButtonElement);
    this.video = get("echo", HTMLVideoElement);
    this.button.addEventListener("click", () => void (this.call ? this.stop() : this.#start()));
  }

  /** @param {boolean} may whether there is something to send and no call goes on */
  offer(may) {
    get("echo-part", HTMLElement).hidden = !may;
    if (!may) this.stop();
  }

  stop() {
    clearTimeout(this.timer);
    this.call?.close();
    this.call = null;
    this.video.srcObject = null;
    this.video.hidden = true;
    this.#say("");
    write(this.button, this.words.say("echo.start"));
  }

  async #start() {
    const stream = this.getStream();
    if (!stream) return;
    const call = this.makeCall(stream);
    this.call = call;
    write(this.button, this.words.say("echo.stop"));
    this.#say(this.words.say("echo.testing"));
    this.timer = setTimeout(() => this.#say(this.words.say("echo.failed")), WITHIN_MS);
    call.addEventListener("flowing", () => this.#show(call));
    call.addEventListener("slots", () => call.hasFlowed && this.#show(call));
    call.addEventListener("quality", (event) => this.#judge(call, /** @type {CustomEvent} */ (event).detail));
    await call.start({ echo: true }).catch(() => this.call === call && this.#say(this.words.say("echo.failed")));
  }

  /** @param {Call} call */
  #show(call) {
    if (this.call !== call) return;
    clearTimeout(this.timer);
    this.video.srcObject = call.slots[0].stream;
    this.video.hidden = false;
    this.#say(this.words.say("echo.works"));
  }

  /** @param {Call} call @param {import("../js/figures.js").Sample} figures */
  #judge(call, figures) {
    if (this.call !== call || !call.hasFlowed) return;
    const { width, height } = figures;
    if (!width || !height) return;
    const { strength } = signalOf(figures);
    this.#say(this.words.say("echo.judged", { width, height, strength: this.words.say(`signal.${strength}`) }));
  }

  /** @param {string} text */
  #say(text) {
    write(get("echo-said", HTMLElement), text);
  }
}
