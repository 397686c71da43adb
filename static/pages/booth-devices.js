// The officer's own camera and microphone: check them, choose others, see and hear the choice before going on camera.

import { DeviceProblem, DeviceWatch, openDevices } from "../js/devices.js";
import { listen } from "../js/loudness.js";
import { get, show } from "./booth-page.js";
import { fillSpeakers } from "./call-tools.js";

export class Devices extends EventTarget {
  /** Events: "changed" {stream}: another camera or microphone is used; "speaker" {device}; "taken" {kind, taken}: by another
   * program; "lost": a device has stopped and none could take its place; "headset" {came, gone}.
   * @param {import("./booth-page.js").Words} words */
  constructor(words) {
    super();
    this.words = words;
    /** @type {MediaStream|null} */
    this.stream = null;
    this.camera = get("check-camera", HTMLSelectElement);
    this.microphone = get("check-microphone", HTMLSelectElement);
    this.meter = get("check-level", HTMLMeterElement);
    this.stopListening = () => {};
    this.turn = 0; // counts how often all was let go of
    /** @type {Promise<MediaStream|null>} one opening after the other: what was chosen last is what stays */
    this.opening = Promise.resolve(null);
    this.watch = new DeviceWatch();
    this.watch.addEventListener("interrupted", (event) => this.#tell("taken", { kind: detail(event).kind, taken: true }));
    this.watch.addEventListener("resumed", (event) => this.#tell("taken", { kind: detail(event).kind, taken: false }));
    this.watch.addEventListener("lost", () => void this.#replace());
    this.watch.addEventListener("changed", (event) => {
      this.#tell("headset", detail(event));
      if (this.stream) void this.#fillChoices(this.stream);
    });
    this.speaker = get("check-speaker", HTMLSelectElement);
    this.speaker.addEventListener("change", () => {
      localStorage.setItem("booth-speaker", this.speaker.value);
      this.#tell("speaker", { device: this.speaker.value });
    });
    get("check", HTMLDetailsElement).hidden = false;
    get("check-start", HTMLButtonElement).addEventListener("click", () => void this.open());
    for (const [select, name] of /** @type {const} */ ([[this.camera, "camera"], [this.microphone, "microphone"]])) {
      select.addEventListener("change", () => {
        localStorage.setItem(`booth-${name}`, select.value);
        void this.open();
      });
    }
  }

  /** Show the preview at once where the browser has been allowed before; never ask unasked. */
  async openIfAllowed() {
    try {
      const asked = await Promise.all(["camera", "microphone"].map((name) => navigator.permissions.query({ name: /** @type {PermissionName} */ (name) })));
      if (asked.every((one) => one.state === "granted")) await this.open();
      else get("check", HTMLDetailsElement).open = true;
    } catch {
      get("check", HTMLDetailsElement).open = true; // a browser that cannot say
    }
  }

  /** Open the chosen devices. @returns {Promise<MediaStream|null>} null after the problem was said, or when they are not wanted any more */
  open() {
    const { turn } = this;
    this.opening = this.opening.then(() => this.#open(turn));
    return this.opening;
  }

  /** @param {number} turn @returns {Promise<MediaStream|null>} */
  async #open(turn) {
    const problem = get("check-problem", HTMLElement);
    try {
      if (turn !== this.turn) return null;
      const stream = await this.#openChosen();
      if (turn !== this.turn) {
        for (const track of stream.getTracks()) track.stop(); // let go of meanwhile: another tab has the call, or it has ended
        return null;
      }
      show(problem, "");
      this.#use(stream);
      await this.#fillChoices(stream);
      if (turn !== this.turn) return null;
      this.dispatchEvent(new CustomEvent("changed", { detail: { stream } }));
      return stream;
    } catch (failed) {
      if (turn !== this.turn) return null;
      const reason = failed instanceof DeviceProblem ? failed.reason : "other";
      show(problem, this.words.say(`problem.${reason}`));
      get("check", HTMLDetailsElement).open = true;
      return null;
    }
  }

  /** A device has stopped for good: take what is there now. */
  async #replace() {
    if (!(await this.open())) this.#tell("lost", {});
  }

  /** @param {string} name @param {any} said */
  #tell(name, said) {
    this.dispatchEvent(new CustomEvent(name, { detail: said }));
  }

  /** Let go of camera and microphone. */
  close() {
    this.turn++;
    this.stopListening();
    this.watch.forget();
    get("own-box", HTMLElement).hidden = true;
    this.stream?.getTracks().forEach((track) => track.stop());
    this.stream = null;
    get("own", HTMLVideoElement).hidden = true;
  }

  async #openChosen() {
    const deviceId = localStorage.getItem("booth-camera") || undefined;
    const microphoneId = localStorage.getItem("booth-microphone") || undefined;
    try {
      return await openDevices({ deviceId, microphoneId });
    } catch (failed) {
      const unplugged = failed instanceof DeviceProblem && failed.reason === "none" && (deviceId || microphoneId);
      if (!unplugged) throw failed;
      return openDevices({});
    }
  }

  /** @param {MediaStream} stream */
  #use(stream) {
    this.stopListening();
    const before = this.stream;
    this.stream = stream;
    for (const track of stream.getTracks()) {
      const old = before?.getTracks().find((one) => one.kind === track.kind);
      if (old) track.enabled = old.enabled; // muted stays muted
    }
    this.watch.watch(stream);
    const own = get("own", HTMLVideoElement);
    own.srcObject = stream;
    get("own-box", HTMLElement).hidden = false;
    if (get("own-plain", HTMLElement).hidden) own.hidden = stream.getVideoTracks().length === 0;
    before?.getTracks().forEach((track) => track.stop());
    this.stopListening = listen(stream, (level) => {
      this.meter.value = level;
      get("own-level", HTMLMeterElement).value = stream.getAudioTracks()[0]?.enabled === false ? 0 : level;
    });
  }

  /** @param {MediaStream} stream */
  async #fillChoices(stream) {
    const devices = await navigator.mediaDevices.enumerateDevices();
    const fill = (/** @type {HTMLSelectElement} */ select, /** @type {string} */ kind, /** @type {string} */ word, /** @type {MediaStreamTrack|undefined} */ track) => {
      const found = devices.filter((device) => device.kind === kind);
      select.replaceChildren(
        ...found.map((device, n) => new Option(device.label || this.words.say(word, { number: n + 1 }), device.deviceId)),
      );
      const inUse = track?.getSettings().deviceId;
      if (inUse) select.value = inUse;
    };
    fill(this.camera, "videoinput", "camera", stream.getVideoTracks()[0]);
    fill(this.microphone, "audioinput", "microphone", stream.getAudioTracks()[0]);
    await fillSpeakers(get("check-speakers", HTMLElement), this.speaker, (number) => this.words.say("speaker", { number }));
    const speaker = localStorage.getItem("booth-speaker") ?? "";
    if ([...this.speaker.options].some((one) => one.value === speaker)) {
      this.speaker.value = speaker;
      this.#tell("speaker", { device: speaker });
    }
    get("check-choices", HTMLElement).hidden = false;
    get("check-start", HTMLButtonElement).hidden = true;
  }
}

/** @param {Event} event */
function detail(event) {
  return /** @type {CustomEvent} */ (event).detail;
}
