// A page's line to its room: one WebSocket that comes back by itself. It speaks; it draws nothing.
//
// Events: "state" (the room as this page may see it), "slots" (who is in which receive slot), "relay" ("lost" or
// "back"), "connected" and "media" (news of our own media), "rung" and "quality" {of} (how a participant's link is),
// "down" {since}, "up", "crowded" (opened too often: it waits before it comes back), and at last "closed" {reason}: "elsewhere" (another page of the same session took over), "refused" (the session has ended) or "bye".

const SAY_EVERY_MS = 4000; // a dead radio link shows no error by itself: ask, and listen for the answer
const DEAF_AFTER_MS = 9000;
const DEAF_AFTER_NEWS_MS = 2000; // the network has changed: who does not answer now never will on this line
const ANSWER_WITHIN_MS = 10000;
const DIAL_WITHIN_MS = 5000;
const PROBE_WITHIN_MS = 4000;
const FIRST_RETRY_MS = 100;
const LAST_RETRY_MS = 2000;
const OPENED_ELSEWHERE = 4001;
const SESSION_OVER = 4003;
const OPENED_TOO_OFTEN = 4029;
const CROWDED_MS = 10_000;
const SESSION_IS_OVER = [401, 403, 404, 409, 410];

/** @typedef {{code: string}} Refusal what the server said no with; "down" when the line broke first */

export class RoomSocket extends EventTarget {
  /** @param {string} url path of the socket on this host */
  constructor(url) {
    super();
    this.url = url;
    /** @type {WebSocket | null} */
    this.socket = null;
    /** @type {Map<number, {resolve: (answer: any) => void, reject: (refusal: Refusal) => void, timer: number}>} */
    this.waiting = new Map();
    /** @type {RTCIceServer[] | null} */
    this.iceServers = null;
    /** What stands and is said again on every new line, by name. @type {Map<string, string>} */
    this.standing = new Map();
    /** What was said while the line was down. @type {Set<string>} */
    this.unsaid = new Set();
    this.lastId = 0;
    this.heardAt = 0;
    this.downSince = 0;
    this.retryMs = FIRST_RETRY_MS;
    this.isOver = false;
    this.timer = 0;
    this.retryTimer = 0;
    this.isProbing = false;
    this.patience = new AbortController();
    this.wakeUp = () => this.checkNow();
  }

  /** Whether something sent now reaches the server, as far as we know. */
  get connected() {
    return this.socket !== null && this.socket.readyState === WebSocket.OPEN;
  }

  open() {
    this.isOver = false;
    globalThis.addEventListener("online", this.wakeUp);
    globalThis.addEventListener("pageshow", this.wakeUp);
    this.timer = setInterval(() => this.keepAlive(), SAY_EVERY_MS);
    this.dial();
  }

  /** End for good. */
  close() {
    this.finish("bye");
  }

  /** @param {object} message */
  send(message) {
    if (this.connected && this.socket) this.socket.send(JSON.stringify(message));
  }

  /** Say it now, or as soon as the line is back: a press is not lost. @param {object} message */
  say(message) {
    if (this.connected) this.send(message);
    else if (!this.isOver) this.unsaid.add(JSON.stringify(message));
  }

  /**
   * Say what stands from now on: sent when it is news, and again whenever the line was down.
   * @param {string} name
   * @param {object} message
   */
  stand(name, message) {
    const text = JSON.stringify(message);
    if (this.standing.get(name) === text) return;
    this.standing.set(name, text);
    this.send(message);
  }

  /**
   * Send a message and wait for the answer with its id.
   * @param {object} message
   * @returns {Promise<any>} rejects with a Refusal
   */
  request(message) {
    return new Promise((resolve, reject) => {
      if (!this.connected) {
        reject({ code: "down" });
        return;
      }
      const id = ++this.lastId;
      const timer = setTimeout(() => this.settle(id, null, { code: "timeout" }), ANSWER_WITHIN_MS);
      this.waiting.set(id, { resolve, reject, timer });
      this.send({ ...message, id });
    });
  }

  dial() {
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(`${scheme}//${location.host}${this.url}`);
    this.socket = socket;
    setTimeout(() => this.socket === socket && !this.connected && this.hangUp(), DIAL_WITHIN_MS);
    socket.onopen = () => {
      this.heardAt = Date.now();
      this.retryMs = FIRST_RETRY_MS;
      this.downSince = 0;
      for (const text of [...this.standing.values(), ...this.unsaid]) socket.send(text);
      this.unsaid.clear();
      this.tell("up", {});
    };
    socket.onmessage = (event) => {
      this.heardAt = Date.now();
      this.hear(JSON.parse(event.data));
    };
    socket.onclose = (event) => {
      if (this.socket !== socket) return;
      this.drop();
      if (event.code === OPENED_ELSEWHERE) this.finish("elsewhere");
      else if (event.code === SESSION_OVER) this.finish("refused");
      else if (event.code === OPENED_TOO_OFTEN) this.waitAmongMany();
      else this.retry();
    };
  }

  /** @param {any} message */
  hear(message) {
    if (message.type === "answer") this.settle(message.id, message, null);
    else if (message.type === "refused") this.settle(message.id, null, { code: message.code });
    else if (message.type === "state") this.tell("state", message.state);
    else if (message.type === "slots") this.tell("slots", message.slots);
    else if (message.type === "relay") this.tell("relay", message.state);
    else if (message.type === "ice_servers") this.iceServers = message.iceServers;
    else if (["connected", "media", "rung", "quality"].includes(message.type)) this.tell(message.type, message);
  }

  drop() {
    this.socket = null;
    if (!this.downSince) {
      this.downSince = Date.now();
      this.tell("down", { since: this.downSince });
    }
    for (const id of [...this.waiting.keys()]) this.settle(id, null, { code: "down" });
  }

  /** Ask by plain HTTP, more and more seldom, whether the server is there and still knows us; then dial. */
  async retry() {
    if (this.isOver || this.isProbing || this.socket !== null) return;
    this.isProbing = true;
    const status = await this.probe();
    this.isProbing = false;
    if (this.isOver || this.socket !== null) return;
    if (SESSION_IS_OVER.includes(status)) {
      this.finish("refused");
      return;
    }
    if (status > 0 && status < 500) {
      this.dial();
      return;
    }
    const wait = this.retryMs * (0.5 + Math.random());
    this.retryMs = Math.min(this.retryMs * 1.5, LAST_RETRY_MS);
    this.retryTimer = setTimeout(() => this.retry(), wait);
  }

  waitAmongMany() {
    this.tell("crowded", {});
    clearTimeout(this.retryTimer);
    this.retryTimer = setTimeout(() => this.retry(), CROWDED_MS);
  }

  /** @returns {Promise<number>} what the server answers, 0 when nothing does */
  async probe() {
    const patience = new AbortController();
    this.patience = patience;
    const timer = setTimeout(() => patience.abort(), PROBE_WITHIN_MS); // a dead radio link never answers
    try {
      const asked = await fetch(this.url, { headers: { Accept: "application/json" }, cache: "no-store", signal: patience.signal });
      return asked.status;
    } catch {
      return 0; // no network, or the server is starting
    } finally {
      clearTimeout(timer);
    }
  }

  keepAlive() {
    if (!this.connected) return;
    if (Date.now() - this.heardAt > DEAF_AFTER_MS) this.hangUp();
    else this.send({ type: "ping" });
  }

  /** The network came back or the phone woke up: find out now rather than at the next tick. */
  checkNow() {
    if (this.isOver) return;
    const socket = this.socket;
    if (this.connected) {
      const asked = Date.now();
      this.send({ type: "ping" });
      setTimeout(() => this.socket === socket && this.heardAt < asked && this.hangUp(), DEAF_AFTER_NEWS_MS);
    } else if (socket === null) {
      clearTimeout(this.retryTimer);
      this.retryMs = FIRST_RETRY_MS;
      if (this.isProbing) this.patience.abort(); // asked over the network that was: ask again over the one that is
      else void this.retry();
    }
  }

  hangUp() {
    const socket = this.socket;
    this.drop();
    if (socket) {
      socket.onclose = socket.onmessage = socket.onopen = null;
      socket.close();
    }
    this.retry();
  }

  /** @param {"elsewhere" | "refused" | "bye"} reason */
  finish(reason) {
    if (this.isOver) return;
    this.isOver = true;
    this.unsaid.clear();
    clearInterval(this.timer);
    clearTimeout(this.retryTimer);
    globalThis.removeEventListener("online", this.wakeUp);
    globalThis.removeEventListener("pageshow", this.wakeUp);
    const socket = this.socket;
    this.socket = null;
    if (socket) socket.close(1000);
    for (const id of [...this.waiting.keys()]) this.settle(id, null, { code: "down" });
    this.tell("closed", { reason });
  }

  /**
   * @param {number} id
   * @param {any} answer
   * @param {Refusal | null} refusal
   */
  settle(id, answer, refusal) {
    const found = this.waiting.get(id);
    if (!found) return;
    this.waiting.delete(id);
    clearTimeout(found.timer);
    if (refusal) found.reject(refusal);
    else found.resolve(answer);
  }

  /**
   * @param {string} name
   * @param {any} detail
   */
  tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}
