// @ts-check
// What the officer sends in a call: microphone, camera, sound only, a screen; what another program has taken; and what is
// said of all that beside the picture.

import { DeviceProblem, openScreen } from "../js/devices.js";
import { Words, get, write } from "./booth-page.js";
import { drawSignal, plainPicture } from "./call-tools.js";

const NEWS_MS = 6000;

export class Own {
  /**
   * @param {{words: Words, devices: import("./booth-devices.js").Devices, socket: import("../js/signalling.js").RoomSocket, listens: boolean, call: () => import("../js/media.js").Call | null, link: () => import("./call-tools.js").LinkState | null}} given
   *   listens: we send nothing at all; link: how our own link does
   */
  constructor({ words, devices, socket, listens, call, link }) {
    this.words = words;
    this.devices = devices;
    this.socket = socket;
    this.listens = listens;
    this.call = call;
    this.link = link;
    this.muted = { audio: false, video: false };
    /** What another program has taken of our devices. */
    this.taken = { audio: false, video: false };
    this.soundOnly = false;
    /** @type {MediaStreamTrack|null} */
    this.screen = null;
    /** @type {MediaStreamTrack|null} what is sent instead of the camera */
    this.plain = null;
    this.rung = "full";
    /** Something to say for a moment beside the picture. */
    this.news = { text: "", at: 0 };
    this.button = {
      mute: get("mute", HTMLButtonElement),
      camera: get("camera", HTMLButtonElement),
      share: get("share", HTMLButtonElement),
      soundOnly: get("sound-only", HTMLButtonElement),
    };
    this.button.mute.addEventListener("click", () => this.toggle("audio"));
    this.button.camera.addEventListener("click", () => this.toggle("video"));
    this.button.share.addEventListener("click", () => void this.toggleShare());
    this.button.soundOnly.addEventListener("click", () => void this.toggleSoundOnly());
    devices.addEventListener("taken", (event) => {
      const { kind, taken } = /** @type {{kind: "audio"|"video", taken: boolean}} */ (/** @type {CustomEvent} */ (event).detail);
      if (taken === this.taken[kind]) return;
      this.taken[kind] = taken;
      this.tellSending();
      this.draw();
    });
    setInterval(() => this.call() && this.draw(), 1000);
  }

  /** Something of ours is not sent, or not shown to us. */
  get isPartly() {
    const { muted, taken } = this;
    return muted.audio || muted.video || taken.audio || taken.video || this.soundOnly || ["no_picture", "sound_only", "ring"].includes(this.rung);
  }

  /** A call begins, without picture when that is our wish. @param {import("../js/media.js").Call} call */
  begin(call) {
    void call.setWithoutPicture("wish", this.soundOnly);
    this.#setMuted();
  }

  end() {
    this.screen?.stop();
    this.screen = null;
  }

  /** @param {"audio"|"video"} kind */
  toggle(kind) {
    this.muted[kind] = !this.muted[kind];
    this.#setMuted();
  }

  /** Other devices are open. @param {MediaStream} stream */
  take(stream) {
    this.taken.audio = stream.getAudioTracks().some((track) => track.muted);
    this.taken.video = stream.getVideoTracks().some((track) => track.muted);
    this.tellSending();
  }

  #setMuted() {
    const { muted } = this;
    this.call()?.setMuted("audio", muted.audio);
    this.call()?.setMuted("video", muted.video);
    if (muted.video && !this.plain) this.plain = plainPicture();
    if (!muted.video) {
      this.plain?.stop();
      this.plain = null;
    }
    void this.call()?.showStill(this.plain);
    get("own-plain", HTMLElement).hidden = !muted.video;
    get("own", HTMLVideoElement).hidden = muted.video || !this.devices.stream?.getVideoTracks().length;
    this.#name();
    this.tellSending();
    this.draw();
  }

  #name() {
    write(this.button.mute, this.words.say(this.muted.audio ? "unmute" : "mute"));
    write(this.button.camera, this.words.say(this.muted.video ? "cameraOn" : "cameraOff"));
    write(this.button.share, this.words.say(this.screen ? "shareStop" : "share"));
    write(this.button.soundOnly, this.words.say(this.soundOnly ? "withPicture" : "soundOnly"));
  }

  /** Say what stays true of our own side, and for a moment what has just happened. */
  draw() {
    const { muted, taken, soundOnly } = this;
    const weak = { no_picture: "rung.own_no_picture", sound_only: "rung.own_sound_only", ring: "rung.own_sound_only" }[this.rung];
    const keys = [
      taken.audio && "ownInterrupted",
      muted.audio && "youAreMuted",
      soundOnly ? "youHaveSoundOnly" : muted.video ? "yourCameraIsOff" : taken.video && "ownCameraTaken",
      !soundOnly && weak,
      this.screen && "youShare",
    ];
    const lines = this.call() ? keys.filter(Boolean).map((key) => this.words.say(String(key))) : [];
    if (Date.now() - this.news.at < NEWS_MS) lines.push(this.news.text);
    write(get("own-notice", HTMLElement), lines.join(" "));
    const own = this.link()?.signal ?? null;
    get("own-signal-line", HTMLElement).hidden = !this.call() || !own;
    drawSignal(get("own-signal", HTMLElement), own, (strength) => this.words.say(`signal.${strength}`));
  }

  /** @param {string} text */
  tell(text) {
    this.news = { text, at: Date.now() };
    this.draw();
  }

  /** Tell the room what we send, and what keeps us from it. */
  tellSending() {
    if (!this.call() || this.listens) return;
    const { muted, taken } = this;
    const lives = (/** @type {string} */ kind) => this.devices.stream?.getTracks().some((track) => track.kind === kind && track.readyState === "live") ?? false;
    const hasSound = lives("audio");
    const sends = { muted: muted.audio || taken.audio || !hasSound, camera_off: muted.video || taken.video || !lives("video"), audio_only: this.soundOnly };
    this.socket.stand("sending", { type: "sending", ...sends });
    this.socket.stand("interrupted", { type: "pause", why: "interrupted", on: taken.audio });
    this.socket.stand("device_lost", { type: "pause", why: "device_lost", on: !hasSound });
  }

  /** @param {string} rung where our link stands on the relay's ladder */
  hearRung(rung) {
    this.rung = rung;
    void this.call()?.setWithoutPicture("link", rung === "sound_only" || rung === "ring");
  }

  async toggleSoundOnly() {
    this.soundOnly = !this.soundOnly;
    await this.call()?.setWithoutPicture("wish", this.soundOnly);
    this.#name();
    this.tellSending();
    this.draw();
  }

  async toggleShare() {
    if (this.screen) {
      await this.stopSharing();
      return;
    }
    if (this.call()?.isSharedByOthers) {
      this.tell(this.words.say("shareTaken"));
      return;
    }
    try {
      const screen = await openScreen();
      if (!this.call()) return screen.stop(); // left while it was being chosen
      this.screen = screen;
      this.screen.onended = () => void this.stopSharing(); // by the browser's own bar
      await this.call()?.shareScreen(this.screen);
    } catch (problem) {
      if (!(problem instanceof DeviceProblem)) throw problem;
      this.tell(this.words.say("shareProblem"));
    }
    this.#name();
    this.draw();
  }

  async stopSharing() {
    this.end();
    await this.call()?.shareScreen(null);
    this.#name();
    this.draw();
  }

  /** Somebody else showed something a moment before: ours is seen by nobody. */
  async giveWay() {
    await this.stopSharing();
    this.tell(this.words.say("shareTaken"));
  }
}
