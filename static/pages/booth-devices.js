// The officer's own camera and microphone: check them, choose others, see and hear the choice before going on camera.

import { DeviceProblem, openDevices } from "../js/media.js";
import { listen } from "../js/loudness.js";
import { get, show } from "./booth-page.js";

export class Devices extends EventTarget {
  /** Event "changed" {stream}: another camera or microphone was chosen.
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

  /** Open the chosen devices. @returns {Promise<MediaStream|null>} null after the problem was said */
  async open() {
    const problem = get("check-problem", HTMLElement);
    try {
      const stream = await this.#openChosen();
      show(problem, "");
      this.#use(stream);
      await this.#fillChoices(stream);
      this.dispatchEvent(new CustomEvent("changed", { detail: { stream } }));
      return stream;
    } catch (failed) {
      const reason = failed instanceof DeviceProblem ? failed.reason : "other";
      show(problem, this.words.say(`problem.${reason}`));
      get("check", HTMLDetailsElement).open = true;
      return null;
    }
  }

  /** Let go of camera and microphone. */
  close() {
    this.stopListening();
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
    const own = get("own", HTMLVideoElement);
    own.srcObject = stream;
    own.hidden = stream.getVideoTracks().length === 0;
    before?.getTracks().forEach((track) => track.stop());
    this.stopListening = listen(stream, (level) => (this.meter.value = level));
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
    get("check-choices", HTMLElement).hidden = false;
    get("check-start", HTMLButtonElement).hidden = true;
  }
}
