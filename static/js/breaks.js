// The breaks of one call: since when, why, and told to the server as soon as it can be told. It speaks; it draws nothing.

const MOST_UNSAID = 20;

/** @typedef {"silent" | "relay_lost" | "offline" | "network_changed" | "asleep"} Why */

export class Breaks {
  /** @param {import("./signalling.js").RoomSocket} socket */
  constructor(socket) {
    this.socket = socket;
    this.since = 0;
    /** @type {Why} */
    this.why = "silent";
    /** @type {{began: number, lasted: number, why: Why}[]} */
    this.unsaid = [];
  }

  get isOpen() {
    return this.since > 0;
  }

  /**
   * Begin a break; false when one goes on. What was silence for no known reason takes a reason that comes later.
   * @param {Why} why
   * @param {number} since
   */
  begin(why, since) {
    if (this.isOpen) {
      if (this.why === "silent") this.why = why;
      return false;
    }
    this.since = since;
    this.why = why;
    return true;
  }

  /** End the break; false when there is none. @param {number} now */
  end(now) {
    if (!this.isOpen) return false;
    this.note(this.since, now, this.why);
    this.since = 0;
    return true;
  }

  /**
   * Remember a break that is over.
   * @param {number} began
   * @param {number} ended
   * @param {Why} why
   */
  note(began, ended, why) {
    this.unsaid = [...this.unsaid, { began, lasted: ended - began, why }].slice(-MOST_UNSAID);
    this.say(ended);
  }

  /** Tell what was not told yet; the server reckons by its own clock. @param {number} now */
  say(now) {
    if (!this.socket.connected) return;
    for (const { began, lasted, why } of this.unsaid) {
      this.socket.send({ type: "broke", why, ago_ms: Math.max(lasted, now - began), lasted_ms: lasted });
    }
    this.unsaid = [];
  }
}
