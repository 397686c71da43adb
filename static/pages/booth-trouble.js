// @ts-check
// Why sound and picture may be missing, said beside the picture; and whom to ring when not even sound gets through.

import { Words, get, show } from "./booth-page.js";

const SAID_AFTER_MS = 1500; // a line that is back sooner need not be told of

export class Trouble {
  /** @param {{words: Words, name: string, dial: string, reference: string, socket: import("../js/signalling.js").RoomSocket}} given dial: the person's number, "" when nobody may ring it */
  constructor({ words, name, dial, reference, socket }) {
    this.words = words;
    this.named = { name, number: dial, reference };
    /** By cause; the first that has words is said. */
    this.causes = { server: "", relay: "", media: "", device: "" };
    let downSince = 0;
    let why = "serverLost";
    socket.addEventListener("state", () => (why = "serverLost"));
    socket.addEventListener("crowded", () => this.set("server", words.say((why = "crowded"))));
    socket.addEventListener("down", (event) => (downSince = /** @type {CustomEvent} */ (event).detail.since));
    socket.addEventListener("up", () => {
      downSince = 0;
      this.set("server", "");
    });
    socket.addEventListener("relay", (event) => this.set("relay", /** @type {CustomEvent} */ (event).detail === "lost" ? words.say("relayLost") : ""));
    setInterval(() => {
      if (downSince && Date.now() - downSince >= SAID_AFTER_MS) this.set("server", words.say(why));
    }, 1000);
  }

  /** @param {keyof Trouble["causes"]} cause @param {string} text "" when it is over */
  set(cause, text) {
    this.causes[cause] = text;
    const { server, relay, media, device } = this.causes;
    show(get("trouble", HTMLElement), server || relay || media || device);
  }

  /** Whom to ring, and on which number. @param {any} room @param {import("./call-tiles.js").Person[]} others */
  drawRing(room, others) {
    const out = room.gaps.filter((/** @type {any} */ gap) => gap.why === "ring" && gap.ended_at === null);
    const said = out.map((/** @type {any} */ gap) => {
      const person = others.find((one) => one.id === gap.participant);
      if (gap.participant !== room.admitted) return this.words.say("ringOther", { name: person?.name ?? this.words.say("colleague") });
      return this.words.say(this.named.number ? "ring" : "ringHeld", this.named);
    });
    show(get("ring", HTMLElement), said.join(" "));
  }
}
