// @ts-check
// Sends one file to the evidence store and says how it goes. Speaks; draws nothing.
//
//   page ── POST …/requests/ID/grant ──▶ web      a grant: may open one upload, for minutes
//   page ── tus POST, PATCH, HEAD ─────▶ store    creation gives a bearer, which the page renews with a fresh grant
//   page ── POST FILE/digest ──────────▶ store    the phone's own SHA-256, made by a Worker meanwhile
//   page ── POST …/items/ID/done ──────▶ web      web asks the store what became of it
//
// A lost connection, a server that restarts, a phone that slept: it goes on where the store says it stands. After a
// reload of the page the same file, chosen again, goes on as well; what that needs is kept with the tab only.

import "../lib/tus.min.js"; // puts `tus` on globalThis
import { post } from "./post.js";

const CHUNK_BYTES = 8 * 1024 * 1024;
const RETRY_MS = [500, 1000, 2000, 4000, ...Array(2000).fill(5000)]; // hours; progress begins the count anew
const RENEW_AFTER_MS = 40 * 60 * 1000; // a bearer lasts an hour
const STALLED_MS = 25_000;
const TELL_MS = 2000;
const WATCH_MS = 1000;

/** @typedef {"sending" | "waiting" | "checking" | "received" | "quarantined" | "sent" | "failed" | "cancelled"} Stage */
/** @typedef {{files: string, request: string, items: string}} Addresses request: of the request, items: their folder */

/**
 * Events: "stage" {stage, code, said} when it changes, "progress" {sent, total}. `code` says why it failed: "kind",
 * "large", "withdrawn", "refused"; `said` is the server's own sentence, if it has one.
 */
export class Upload extends EventTarget {
  /** @param {File} file @param {Addresses} addresses */
  constructor(file, addresses) {
    super();
    this.file = file;
    this.addresses = addresses;
    this.item = "";
    /** @type {Stage} */
    this.stage = "sending";
    this.sent = 0;
    /** What the store has said is safe there. */
    this.safe = 0;
    this.grant = "";
    this.bearer = "";
    this.bearerAt = 0;
    this.allSent = false;
    this.fatal = "";
    this.said = "";
    this.movedAt = Date.now();
    this.toldAt = 0;
    this.told = -1;
    this.timer = 0;
    /** @type {tus.Upload | null} */
    this.tus = null;
    /** @type {Worker | null} */
    this.worker = null;
    /** @type {Promise<string | null>} */
    this.digest = Promise.resolve(null);
    /** Try at once what was put off. */
    this.wake = () => {};
    this.online = () => this.#again();
  }

  get isOver() {
    return !["sending", "waiting", "checking"].includes(this.stage);
  }

  /** Begin, or go on where this tab left off. Never rejects: what happens is said by events. */
  async start() {
    this.digest = this.#hash();
    this.timer = setInterval(() => this.#watch(), WATCH_MS);
    addEventListener("online", this.online);
    const address = await this.#recall();
    if (this.isOver) return;
    this.tus = new tus.Upload(this.file, {
      endpoint: address ? null : this.#endpoint,
      uploadUrl: address,
      chunkSize: CHUNK_BYTES,
      retryDelays: RETRY_MS,
      storeFingerprintForResuming: false, // nothing stays on a phone that others may look at
      metadata: { filename: this.file.name, filetype: this.file.type },
      onBeforeRequest: (request) => this.#authorize(request),
      onAfterResponse: (request, response) => this.#note(request, response),
      onShouldRetry: (fault) => this.#mayRetry(fault),
      onUploadUrlAvailable: () => {
        if (this.tus) this.tus.options.endpoint = null; // else tus opens a new one whenever HEAD fails, as with the store down
      },
      onProgress: (sent) => this.#progress(sent),
      onSuccess: () => void this.#finish(),
      onError: (fault) => this.#fail(fault),
    });
    this.tus.start();
  }

  /** The person does not want to send it any more. */
  cancel() {
    if (this.isOver) return;
    this.#end("cancelled");
    if (this.item) void post(`${this.addresses.items}/${this.item}/cancel`, {}, { keepalive: true });
  }

  /** Stop at once and forget; says nothing to anybody. */
  drop() {
    this.#end("cancelled", "", "", false);
  }

  get #endpoint() {
    return new URL(this.addresses.files, location.href).href;
  }

  // --- who may

  /** @param {tus.Request} request */
  async #authorize(request) {
    if (request.getMethod() === "POST") {
      if (!this.grant) await this.#askGrant(`${this.addresses.request}/grant`);
      request.setHeader("Authorization", `Grant ${this.grant}`);
      return;
    }
    if (!this.bearer || Date.now() - this.bearerAt > RENEW_AFTER_MS) await this.#renew(request.getURL());
    request.setHeader("Authorization", `Bearer ${this.bearer}`);
  }

  /** @param {string} url */
  async #askGrant(url) {
    const answer = await post(url, {});
    if (answer.ok) {
      this.grant = String(answer.body.grant);
      this.item = String(answer.body.item);
      return;
    }
    if (answer.status >= 400 && answer.status < 500 && answer.status !== 429) {
      this.fatal = answer.status === 409 ? "withdrawn" : "refused";
      this.said = answer.said;
    }
    throw new Error("no grant");
  }

  /** @param {string} address of the upload */
  async #renew(address) {
    await this.#askGrant(`${this.addresses.items}/${this.item}/grant`);
    const answer = await fetch(`${address}/bearer`, { method: "POST", headers: { Authorization: `Grant ${this.grant}` } });
    if (!answer.ok) throw new Error("no bearer");
    this.#take(answer.headers.get("Upload-Bearer"));
  }

  /** @param {tus.Request} request @param {tus.Response} response */
  #note(request, response) {
    this.#take(response.getHeader("Upload-Bearer"));
    this.safe = Number(response.getHeader("Upload-Offset") ?? this.safe);
    if (request.getMethod() !== "POST" || response.getStatus() !== 201) return;
    this.grant = "";
    this.#remember(response.getHeader("Location") ?? "");
    this.#tell(0);
  }

  /** @param {string | null | undefined} bearer */
  #take(bearer) {
    if (!bearer) return;
    this.bearer = bearer;
    this.bearerAt = Date.now();
  }

  // --- on its way

  /** @param {tus.Fault} fault */
  #mayRetry(fault) {
    if (this.isOver || this.fatal) return false;
    const status = fault.originalResponse?.getStatus() ?? 0;
    if ([404, 410].includes(status)) this.#beginAnew();
    if (status === 401) this.bearer = "";
    if (status === 403) this.grant = "";
    const mends = status === 0 || status >= 500 || [401, 403, 404, 408, 409, 410, 423, 429].includes(status);
    if (mends) {
      this.sent = this.safe; // a browser reports all as sent when the answer comes early
      this.#change("waiting");
    }
    return mends;
  }

  /**
   * The store keeps nothing of what was opened there: it was restored from a backup, or that node's disk is gone. What it
   * closed for its kind it refuses once more, in words.
   */
  #beginAnew() {
    if (this.item) void post(`${this.addresses.items}/${this.item}/cancel`, {});
    this.item = this.grant = this.bearer = "";
    if (!this.tus) return;
    this.tus.url = this.tus.options.uploadUrl = null;
    this.tus.options.endpoint = this.#endpoint;
  }

  /** @param {number} sent */
  #progress(sent) {
    if (this.isOver) return;
    if (sent !== this.sent) this.movedAt = Date.now();
    this.sent = sent;
    this.#change("sending");
    this.dispatchEvent(new CustomEvent("progress", { detail: { sent, total: this.file.size } }));
    if (Date.now() - this.toldAt >= TELL_MS) this.#tell(sent);
  }

  /** Let the officer see how far it is; a lost word does no harm. @param {number} sent */
  #tell(sent) {
    if (sent === this.told || !this.item) return;
    this.told = sent;
    this.toldAt = Date.now();
    void post(`${this.addresses.items}/${this.item}/progress`, { sent, total: this.file.size });
  }

  /** A connection can be dead without saying so. */
  #watch() {
    if (this.stage === "sending" && !this.allSent && this.tus && Date.now() - this.movedAt > STALLED_MS) this.#again();
  }

  /** Ask the store where it stands and go on from there, now. */
  #again() {
    if (this.allSent) this.wake();
    if (!this.tus || this.allSent || this.isOver) return;
    this.movedAt = Date.now();
    const upload = this.tus;
    void upload.abort().then(() => {
      if (!this.isOver) upload.start();
    });
  }

  // --- at the end

  async #finish() {
    if (this.isOver || this.allSent) return;
    this.allSent = true;
    this.#change("checking");
    this.#tell(this.file.size);
    const sha256 = await this.digest;
    const said = sha256 ? await this.#giveDigest(sha256) : "sent"; // without ours the store seals by its own
    if (this.isOver) return;
    if (said === "gone") {
      this.allSent = false;
      this.#beginAnew();
      this.#again();
      return;
    }
    await this.#patiently(() => post(`${this.addresses.items}/${this.item}/done`, {}), 5);
    this.#end(said);
  }

  /** @param {string} sha256 @returns {Promise<"received" | "quarantined" | "sent" | "gone">} */
  async #giveDigest(sha256) {
    const address = this.tus?.url ?? "";
    const answer = await this.#patiently(async () => {
      try {
        if (!this.bearer || Date.now() - this.bearerAt > RENEW_AFTER_MS) await this.#renew(address);
        const headers = { Authorization: `Bearer ${this.bearer}`, "Content-Type": "application/json" };
        const given = await fetch(`${address}/digest`, { method: "POST", headers, body: JSON.stringify({ sha256 }) });
        if (given.status === 401) this.bearer = "";
        return { ok: given.ok, status: given.status, body: await given.json().catch(() => ({})) };
      } catch {
        return { ok: false, status: 0, body: {} };
      }
    }, 1000);
    if ([404, 410].includes(answer.status)) return "gone";
    return answer.ok ? (answer.body.state === "quarantined" ? "quarantined" : "received") : "sent";
  }

  /**
   * @template {{ok: boolean, status: number}} T
   * @param {() => Promise<T>} act @param {number} tries @returns {Promise<T>}
   */
  async #patiently(act, tries) {
    for (let n = 0; ; n++) {
      const answer = await act();
      const mends = answer.status === 0 || answer.status >= 500 || [401, 409, 423, 429].includes(answer.status);
      if (answer.ok || !mends || this.isOver || n + 1 >= tries) return answer;
      this.#change("waiting");
      await new Promise((resolve) => {
        this.wake = () => resolve(undefined);
        setTimeout(resolve, RETRY_MS[n]);
      });
    }
  }

  /** @param {tus.Fault} fault */
  #fail(fault) {
    if (this.isOver) return;
    const status = fault.originalResponse?.getStatus() ?? 0;
    const code = this.fatal || { 413: "large", 415: "kind" }[status] || "refused";
    if (this.item && code !== "withdrawn") void post(`${this.addresses.items}/${this.item}/cancel`, {});
    this.#end("failed", code, this.said ?? "");
  }

  /** @param {Stage} stage @param {string} [code] @param {string} [said] @param {boolean} [tell] */
  #end(stage, code = "", said = "", tell = true) {
    clearInterval(this.timer);
    removeEventListener("online", this.online);
    this.worker?.terminate();
    if (!this.isOver) void this.tus?.abort().catch(() => {});
    this.#forget();
    this.#change(stage, code, said, tell);
  }

  /** @param {Stage} stage @param {string} [code] @param {string} [said] @param {boolean} [tell] */
  #change(stage, code = "", said = "", tell = true) {
    if (this.stage === stage) return;
    this.stage = stage;
    if (tell) this.dispatchEvent(new CustomEvent("stage", { detail: { stage, code, said } }));
  }

  /** @returns {Promise<string | null>} */
  #hash() {
    return new Promise((resolve) => {
      try {
        const worker = new Worker(new URL("./hash_worker.js", import.meta.url), { type: "module" });
        this.worker = worker;
        worker.onmessage = (event) => resolve(event.data);
        worker.onerror = () => resolve(null);
        worker.postMessage(this.file);
      } catch {
        resolve(null); // an old phone: the store's own digest stands alone, and says so
      }
    });
  }

  // --- over a reload

  get #mark() {
    return `upload ${this.addresses.request}`;
  }

  /** @param {string} address */
  #remember(address) {
    const { name, size, lastModified } = this.file;
    try {
      sessionStorage.setItem(this.#mark, JSON.stringify({ name, size, lastModified, address, item: this.item }));
    } catch {
      return; // private mode: then a reload begins anew
    }
  }

  /** Return the address of this very file's upload, when this tab began one. @returns {Promise<string | null>} */
  async #recall() {
    try {
      const kept = JSON.parse(sessionStorage.getItem(this.#mark) ?? "null");
      const { name, size, lastModified } = this.file;
      if (!kept || kept.name !== name || kept.size !== size || kept.lastModified !== lastModified) return null;
      const address = new URL(kept.address, location.href).href;
      this.item = kept.item;
      await this.#renew(address);
      return address;
    } catch {
      this.item = this.grant = this.bearer = this.fatal = "";
      return null;
    }
  }

  #forget() {
    try {
      sessionStorage.removeItem(this.#mark);
    } catch {
      return;
    }
  }
}
