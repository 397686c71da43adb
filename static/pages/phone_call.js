// @ts-check
// The call page: check → waiting → call → goodbye in one document. What stands in the room's snapshot decides what is
// shown; this page only adds whether its own camera is on, and what the person wished last.

import { DeviceWatch } from "../js/devices.js";
import { Call } from "../js/media.js";
import { OneTab } from "../js/one_tab.js";
import { RoomSocket } from "../js/signalling.js";
import { LinkState, drawSignal } from "./call-tools.js";
import { Tiles } from "./call-tiles.js";
import { Check, mirror, openCamera, otherCamera, reopen } from "./phone_check.js";
import { LEAVING } from "./exit.js";
import { More } from "./phone_more.js";
import { notice } from "./phone_notices.js";
import { onPress } from "./presses.js";
import { copyLink, letSleep, one, root, say, showSection, stayAwake } from "./phone_page.js";
import { Others } from "./phone_others.js";
import { PersonEvidence } from "./evidence_person.js";
import { PersonStatement } from "./statement_person.js";

/** @type {{socket: string, home: string, iceServers: RTCIceServer[], slots: number, officer: string, words: Record<string, string>, after: Record<string, string>}} */
const given = JSON.parse(one(document, "#call-data").textContent ?? "{}");
const { words } = given;
const own = /** @type {HTMLVideoElement} */ (one(root, "[data-own]"));
const preview = /** @type {HTMLVideoElement} */ (one(root, "[data-preview]"));
const meter = /** @type {HTMLMeterElement} */ (one(root, "[data-own-level]"));

const tab = new OneTab(`call ${given.socket}`);
const socket = new RoomSocket(given.socket);
/** @type {any} */
let snapshot = null;
/** @type {import("./phone_check.js").Devices | null} */
let devices = null;
/** @type {Call | null} */
let call = null;
/** What the person pressed last: nothing yet, to be in the call, or to be out of it. @type {"" | "in" | "out"} */
let wish = "";
let section = "";
let isAway = false;
let isHere = false; // this tab speaks for the person, and no other one does
/** @type {import("./phone_notices.js").Trouble} */
const trouble = {
  brokenSince: 0,
  downSince: 0,
  officerSince: 0,
  officerPresent: true,
  mendedAt: 0,
  inCall: false,
  isMuted: false,
  hasMet: false,
  deviceLost: false,
  rung: "full",
  climbedAt: 0,
  isInterrupted: false,
  cameraTaken: false,
  soundOnly: false,
  isSharing: false,
  news: "",
  newsAt: 0,
};

const tiles = new Tiles(one(root, "[data-tiles]"), {
  say: (key, values) => words[key].replace(/\{(\w+)\}/g, (_, name) => values[name] ?? ""),
  stranger: given.officer,
  onBlocked: (blocked) => (control("hear").hidden = !blocked),
});
const link = new LinkState();
const watch = new DeviceWatch();
const more = new More(one(root, '[data-section="call"]'), words, {
  call: () => call,
  largest: () => tiles.largest,
  setSpeaker: (device) => void tiles.setSpeaker(device),
  tell,
  changed: () => {
    tellSending();
    showOwn();
  },
});

const check = new Check(one(root, '[data-section="check"]'), {
  words,
  makeCall: (stream) => new Call({ socket, stream, iceServers: given.iceServers, slots: 1 }),
  onReady: enter,
});

const isGuest = root.querySelector("[data-statement]") === null; // a guest's page has neither statement nor evidence
const statement = isGuest ? null : new PersonStatement(one(root, "[data-statement]"), one(root, "[data-stage]"));
const evidence = isGuest ? null : new PersonEvidence(one(root, "[data-evidence]"), one(root, "[data-stage]"));
const others = new Others(one(root, "[data-others]"), {
  send: (message) => socket.send(message),
  setMuted: (muted) => {
    if (trouble.isMuted !== muted) toggleMute();
  },
});

// --- the room ---

tab.addEventListener("here", () => {
  if (isAway || isHere) return;
  isHere = true;
  snapshot = null;
  wish = "";
  section = "";
  socket.open();
});
tab.addEventListener("elsewhere", () => {
  if (isAway || hasEnded()) return;
  show("elsewhere");
  if (isHere) socket.close();
});
socket.addEventListener("state", (event) => follow(/** @type {CustomEvent} */ (event).detail));
socket.addEventListener("down", (event) => {
  trouble.downSince = /** @type {CustomEvent} */ (event).detail.since;
});
socket.addEventListener("up", () => {
  if (trouble.downSince) trouble.mendedAt = Date.now();
  trouble.downSince = 0;
  if (snapshot) follow(snapshot); // what was wished while the line was down is said now
});
socket.addEventListener("rung", (event) => hearRung(/** @type {CustomEvent} */ (event).detail));
socket.addEventListener("quality", (event) => {
  const said = /** @type {CustomEvent} */ (event).detail;
  if (said.of !== snapshot?.me) return;
  link.hearQuality(said);
  hearRung(said); // also what was missed while the line was down
});
socket.addEventListener("closed", (event) => {
  const { reason } = /** @type {CustomEvent} */ (event).detail;
  isHere = false;
  if (section === "elsewhere") letGo(); // another tab of this browser speaks now: it alone is seen and heard, and has the camera
  if (isAway || reason === "bye" || hasEnded()) return;
  if (!["replaced", "removed"].includes(snapshot?.view)) show(reason === "elsewhere" ? "elsewhere" : "closed");
  letGo();
});

function hasEnded() {
  return ["ended", "replaced", "removed"].includes(section);
}

/** Do what the room says. @param {any} state */
function follow(state) {
  if (isAway) return;
  snapshot = state;
  const { view } = state;
  if (view === "exited" || view === "start") {
    isAway = true;
    letGo();
    evidence?.close();
    location.replace(given.home); // says what may be said
    return;
  }
  if (view === "ended" || view === "replaced" || view === "removed") {
    one(root, "[data-ended-copies]").hidden = view !== "ended" || !state.statement;
    if (view === "ended") evidence?.moveTo(one(root, "[data-ended-uploads]"));
    else evidence?.close();
    if (view === "ended" && !isGuest) say("[data-outcome]", given.after[state.outcome ?? ""] ?? given.after[""]);
    show(view);
    letGo();
    socket.close();
    return;
  }
  trouble.officerPresent = state.officer.present;
  const officerLost = view === "call" && (!state.officer.present || state.officer.silent);
  trouble.officerSince = officerLost ? trouble.officerSince || Date.now() : 0;
  if (wish === "out") {
    if (view !== "left") socket.send({ type: "leave" });
    show("left");
  } else if (wish === "in" && devices) {
    if (view === "waiting" || view === "call") startCall();
    else socket.send({ type: "waiting" });
    showRoom(state);
  } else if (view === "left" && section === "") show("left");
  else if (section === "") {
    show("check");
    check.open({ straightOn: view === "waiting" || view === "call" });
  }
}

/** @param {any} state */
function showRoom(state) {
  const isTold = ["waiting", "call"].includes(state.view); // a press is seen at once, and told as soon as the line allows
  say("[data-waiting-words]", !isTold ? words.telling : state.officer.present ? state.officer.knows : state.officer.away);
  say("[data-waiting-since]", state.since_words ? words.since.replace("{time}", state.since_words) : "");
  trouble.inCall = state.view === "call";
  statement?.follow(trouble.inCall ? state.statement : null);
  if (trouble.inCall) evidence?.follow(state.evidence);
  if (trouble.inCall) others.follow(state);
  if (call) call.isHeld = state.held;
  show(trouble.inCall ? "call" : "waiting");
  if (!trouble.inCall) return;
  const self = (state.people ?? []).find((/** @type {any} */ person) => person.is_self);
  more.mayShare = self ? self.publishes.includes("screen") : true;
  tiles.know(known(state), state.sending ?? {}, state.me);
  attach();
}

/** Everybody in the call but us; the officer is large until somebody speaks. @param {any} state @returns {import("./call-tiles.js").Person[]} */
function known(state) {
  const others = (state.people ?? []).filter((/** @type {any} */ person) => !person.is_self);
  if (!others.length && state.officer.id) return [{ id: state.officer.id, name: state.officer.name || given.officer, rank: 0 }];
  return others.map((/** @type {any} */ person) => ({
    id: person.id,
    name: person.name_to_show,
    signs: person.signs === true,
    lost: person.lost === true,
    rank: person.role === "officer" ? 0 : 1,
  }));
}

/** Where our link stands on the ladder: without a picture when the link carries only sound. @param {{of: string, rung: string}} said */
function hearRung({ of, rung }) {
  if (of !== snapshot?.me) return;
  const low = ["no_picture", "sound_only", "ring"];
  if (low.includes(trouble.rung) && !low.includes(rung)) trouble.climbedAt = Date.now();
  trouble.rung = rung;
  link.hearRung(rung);
  void call?.setWithoutPicture("link", rung === "sound_only" || rung === "ring");
}

/** Tell the room what we send and what keeps us from it, so that others read it instead of wondering. */
function tellSending() {
  trouble.soundOnly = more.soundOnly;
  trouble.isSharing = more.screen !== null;
  if (!call) return;
  socket.stand("sending", { type: "sending", muted: trouble.isMuted, camera_off: !isCameraOn() || trouble.cameraTaken, audio_only: more.soundOnly });
  socket.stand("interrupted", { type: "pause", why: "interrupted", on: trouble.isInterrupted });
  const hasMicrophone = devices?.stream.getAudioTracks().some((track) => track.readyState === "live") ?? false;
  socket.stand("device_lost", { type: "pause", why: "device_lost", on: trouble.deviceLost && !hasMicrophone });
  nameControls();
}

/** @param {string} text */
function tell(text) {
  trouble.news = text;
  trouble.newsAt = Date.now();
  draw();
}

// --- being in it ---

/** The check is done. @param {import("./phone_check.js").Devices} opened */
function enter(opened) {
  devices = opened;
  wish = "in";
  watchTracks();
  showOwn();
  void stayAwake();
  if (snapshot) follow(snapshot);
}

function startCall() {
  if (call || !devices) return;
  const started = new Call({ socket, stream: devices.stream, iceServers: given.iceServers, slots: given.slots });
  call = started;
  started.addEventListener("slots", attach);
  started.addEventListener("quality", (event) => link.hearOwn(/** @type {CustomEvent} */ (event).detail));
  started.addEventListener("flowing", () => (trouble.hasMet = true));
  started.addEventListener("level", (event) => {
    const { local, remote } = /** @type {CustomEvent} */ (event).detail;
    if (remote.some((/** @type {number} */ level) => level > 0)) trouble.hasMet = true;
    tiles.drawLevels(remote);
    meter.value = trouble.isMuted ? 0 : Math.min(1, Math.sqrt(local));
  });
  started.addEventListener("broken", (event) => {
    trouble.brokenSince = /** @type {CustomEvent} */ (event).detail.since;
  });
  started.addEventListener("recovered", () => {
    trouble.brokenSince = 0;
    trouble.mendedAt = Date.now();
  });
  started.addEventListener("share_taken", () => void more.giveWay());
  started.addEventListener("failed", cannotGoOn);
  started.start().catch(cannotGoOn);
  void more.resume();
  tellSending();
}

/** Trying again cannot help; the room's next snapshot says why, unless it never comes. */
function cannotGoOn() {
  setTimeout(() => {
    if (isAway || !["waiting", "call"].includes(section)) return;
    show("closed");
    letGo();
    socket.close();
  }, 3000);
}

/** Show who is in the slots; each fresh connection brings new ones. */
function attach() {
  if (call && trouble.inCall) tiles.draw(call.slots, call.people);
}

/** Let go of call, camera, microphone and screen. */
function letGo() {
  check.close();
  statement?.close();
  more.end();
  watch.forget();
  call?.close();
  call = null;
  tiles.clear();
  for (const track of devices?.stream.getTracks() ?? []) track.stop();
  devices = null;
  for (const player of [own, preview]) player.srcObject = null;
  trouble.rung = "full";
  trouble.isInterrupted = false;
  trouble.cameraTaken = false;
  trouble.soundOnly = false;
  trouble.isSharing = false;
  trouble.inCall = false;
  trouble.hasMet = false;
  trouble.brokenSince = 0;
  trouble.isMuted = false;
  trouble.deviceLost = false;
  control("restart").hidden = true;
  letSleep();
}

function leave() {
  wish = "out";
  askToLeave(false);
  letGo();
  socket.send({ type: "leave" });
  show("left");
}

document.addEventListener(LEAVING, () => {
  isAway = true;
  letGo();
  evidence?.close();
  socket.close();
});

// --- own devices ---

function watchTracks() {
  if (devices) watch.watch(devices.stream);
}

watch.addEventListener("interrupted", (event) => hold(/** @type {CustomEvent} */ (event).detail.kind, true));
watch.addEventListener("resumed", (event) => {
  hold(/** @type {CustomEvent} */ (event).detail.kind, false);
  call?.wake();
  tiles.play();
});
watch.addEventListener("lost", (event) => void replaceLost(/** @type {CustomEvent} */ (event).detail.kind));
watch.addEventListener("changed", (event) => {
  const { came, gone } = /** @type {CustomEvent} */ (event).detail;
  const [words_, device] = gone.length ? [words.headset_gone, gone[0]] : [words.headset_came, came[0]];
  if (devices) tell(words_.replace("{device}", device.label));
  void more.listDevices();
});

/** The system took a device, or gave it back. @param {string} kind @param {boolean} taken */
function hold(kind, taken) {
  if (kind === "audio" && trouble.isInterrupted !== taken) {
    trouble.isInterrupted = taken;
    tellSending();
  }
  if (kind === "video" && trouble.cameraTaken !== taken) {
    trouble.cameraTaken = taken;
    tellSending();
  }
  draw();
}

/** A device has stopped for good: take what is there now; only when that fails a press is needed. @param {string} kind */
async function replaceLost(kind) {
  hold(kind, false);
  trouble.deviceLost = kind === "audio";
  tellSending();
  if (await change((before) => reopen(before.stream, before.facing))) return;
  trouble.deviceLost = true;
  control("restart").hidden = false;
  nameControls();
}

function showOwn() {
  if (!devices) return;
  const seen = isCameraOn() && !more.soundOnly;
  for (const player of [own, preview]) {
    player.srcObject = devices.stream;
    player.hidden = !seen;
    mirror(player, devices.facing);
    player.play().catch(() => {});
  }
  nameControls();
}

function isCameraOn() {
  return devices?.stream.getVideoTracks().some((track) => track.readyState === "live" && track.enabled) ?? false;
}

function nameControls() {
  if (devices) more.nameSwap(devices.facing === "user" ? words.use_back : words.use_front);
  control("mute").textContent = trouble.isMuted ? words.unmute : words.mute;
  control("camera").textContent = isCameraOn() ? words.camera_off : words.camera_on;
}

function toggleMute() {
  trouble.isMuted = !trouble.isMuted;
  call?.setMuted("audio", trouble.isMuted);
  tellSending();
  nameControls();
  draw();
}

async function toggleCamera() {
  if (!devices || !call) return;
  const lives = devices.stream.getVideoTracks().some((track) => track.readyState === "live");
  if (lives) {
    call.setMuted("video", isCameraOn());
    showOwn();
    tellSending();
    return;
  }
  await change((before) => openCamera(before.stream, before.facing));
  call?.setMuted("video", false);
  showOwn();
  tellSending();
}

/** Change between the two sides of a phone, or to a computer's next camera. */
async function swapCamera() {
  more.close();
  if (!devices || !isCameraOn()) return;
  const facing = devices.facing === "user" ? "environment" : "user";
  const { facing: before } = devices;
  devices.facing = facing;
  const next = await otherCamera(devices.stream);
  if (!(await change(({ stream }) => openCamera(stream, facing, next))) && devices) {
    devices.facing = before;
    await change(({ stream }) => reopen(stream, before)); // the old one stopped first: phones have one camera at a time
  }
  showOwn();
}

/** A camera or microphone stopped by itself: open it again, for which the browser wants a press. */
async function restart() {
  await change((before) => reopen(before.stream, before.facing));
}

/**
 * Put other devices in place of the present ones, in the call too.
 * @param {(before: import("./phone_check.js").Devices) => Promise<MediaStream>} open
 * @returns {Promise<boolean>} whether they are there
 */
async function change(open) {
  const before = devices;
  if (!before) return false;
  try {
    const stream = await open(before);
    if (devices !== before) {
      for (const track of stream.getTracks()) track.stop(); // left meanwhile
      return false;
    }
    devices = { ...before, stream };
    await call?.replaceStream(stream);
    call?.setMuted("audio", trouble.isMuted);
    trouble.deviceLost = false;
    trouble.isInterrupted = stream.getAudioTracks().some((track) => track.muted);
    trouble.cameraTaken = stream.getVideoTracks().some((track) => track.muted);
    control("restart").hidden = true;
    watchTracks();
    tellSending();
    showOwn();
    return true;
  } catch {
    tell(words.device_problem);
    return false;
  }
}

document.addEventListener("visibilitychange", () => {
  if (document.visibilityState !== "visible" || !devices) return;
  void stayAwake();
  call?.wake();
  socket.checkNow();
  if (trouble.inCall) tiles.play();
});

// --- the page ---

/** @param {string} name */
function show(name) {
  if (section === name) return;
  section = name;
  showSection(name, words[`title_${name}`]);
}

function draw() {
  const said = notice(trouble, Date.now(), words);
  say("[data-call-notice]", trouble.inCall ? said : "");
  say("[data-notice]", ["check", "waiting"].includes(section) ? said : "");
  drawSignal(one(root, "[data-signal]"), trouble.inCall ? link.signal : null, (strength) => words[`signal_${strength}`]);
}

setInterval(draw, 500);

/** @param {boolean} asking */
function askToLeave(asking) {
  more.close();
  one(root, "[data-controls]").hidden = asking;
  one(root, "[data-confirm]").hidden = !asking;
  if (asking) control("stay").focus();
}

/** @type {Record<string, (button: HTMLElement) => unknown>} */
const deeds = {
  devices: () => check.start(true),
  audio: () => check.start(false),
  retry: () => check.start(),
  ready: () => check.ready(),
  flip: () => check.flip(),
  copy: copyLink,
  mute: toggleMute,
  camera: toggleCamera,
  hear: () => tiles.play(),
  more: () => more.toggle(),
  swap: swapCamera,
  sound_only: () => more.toggleSoundOnly(),
  share: () => more.toggleShare(),
  window: () => more.shareWindow(),
  float: () => more.float(),
  restart,
  ask_leave: () => askToLeave(true),
  stay: () => {
    askToLeave(false);
    control("ask_leave").focus();
  },
  leave,
  again: () => {
    wish = "";
    show("check");
    check.open({ straightOn: false });
  },
  move: () => tab.move(),
};

onPress(root, "[data-do]", (pressed) => deeds[pressed.dataset.do ?? ""]?.(pressed));

/** A button of the call itself. @param {string} name */
function control(name) {
  return one(root, `[data-section="call"] [data-do="${name}"]`);
}

tab.wait();
