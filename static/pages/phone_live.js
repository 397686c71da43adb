// @ts-check
// The person's call while it lives: its connection, the others' pictures, how loud they are, and how our link does.
// What is wrong with it stands in `trouble`, for all to read.

import { Call } from "../js/media.js";
import { LinkState } from "./call-tools.js";
import { one, root } from "./phone_page.js";

const detail = (/** @type {Event} */ event) => /** @type {CustomEvent} */ (event).detail;

export class Live {
  /**
   * @param {{socket: import("../js/signalling.js").RoomSocket, iceServers: RTCIceServer[], slots: number, trouble: import("./phone_notices.js").Trouble, tiles: import("./call-tiles.js").Tiles, onShareTaken: () => void, onFailed: () => void}} given
   */
  constructor(given) {
    this.given = given;
    /** @type {Call | null} */
    this.call = null;
    /** Who we are in the room. */
    this.me = "";
    this.link = new LinkState();
    this.meter = /** @type {HTMLMeterElement} */ (one(root, "[data-own-level]"));
    given.socket.addEventListener("rung", (event) => this.#hearRung(detail(event)));
    given.socket.addEventListener("quality", (event) => {
      const said = detail(event);
      if (said.of !== this.me) return;
      this.link.hearQuality(said);
      this.#hearRung(said); // also what was missed while the line was down
    });
  }

  /** @param {MediaStream} stream */
  start(stream) {
    const { socket, iceServers, slots, trouble, tiles, onShareTaken, onFailed } = this.given;
    const call = new Call({ socket, stream, iceServers, slots });
    this.call = call;
    call.addEventListener("slots", () => this.attach());
    call.addEventListener("quality", (event) => this.link.hearOwn(detail(event)));
    call.addEventListener("flowing", () => (trouble.hasMet = true));
    call.addEventListener("level", (event) => {
      const { local, remote } = detail(event);
      if (remote.some((/** @type {number} */ level) => level > 0)) trouble.hasMet = true;
      tiles.drawLevels(remote);
      this.meter.value = trouble.isMuted ? 0 : Math.min(1, Math.sqrt(local));
    });
    call.addEventListener("broken", (event) => (trouble.brokenSince = detail(event).since));
    call.addEventListener("recovered", () => {
      trouble.brokenSince = 0;
      trouble.mendedAt = Date.now();
    });
    call.addEventListener("share_taken", onShareTaken);
    call.addEventListener("failed", onFailed);
    call.start().catch(onFailed);
  }

  /** Show who is in the slots; each fresh connection brings new ones. */
  attach() {
    if (this.call && this.given.trouble.inCall) this.given.tiles.draw(this.call.slots, this.call.people);
  }

  close() {
    this.call?.close();
    this.call = null;
    this.given.tiles.clear();
    Object.assign(this.given.trouble, { rung: "full", inCall: false, hasMet: false, brokenSince: 0 });
  }

  /** Where our link stands on the ladder: without a picture when the link carries only sound. @param {{of: string, rung: string}} said */
  #hearRung({ of, rung }) {
    const { trouble } = this.given;
    if (of !== this.me) return;
    const low = ["no_picture", "sound_only", "ring"];
    if (low.includes(trouble.rung) && !low.includes(rung)) trouble.climbedAt = Date.now();
    trouble.rung = rung;
    this.link.hearRung(rung);
    void this.call?.setWithoutPicture("link", rung === "sound_only" || rung === "ring");
  }
}
