// @ts-check
// The call page: check → waiting → call → goodbye in one document. What stands in the room's snapshot decides what is
// shown; this page only adds whether its own camera is on, and what the person wished last.

import { Call } from "../js/media.js";
import { OneTab } from "../js/one_tab.js";
import { RoomSocket } from "../js/signalling.js";
import { fill } from "../js/words.js";
import { drawSignal } from "./call-tools.js";
import { Tiles, othersIn } from "./call-tiles.js";
import { LEAVING } from "./exit.js";
import { PersonEvidence } from "./evidence_person.js";
import { Check } from "./phone_check.js";
import { OwnDevices } from "./phone_devices.js";
import { Live } from "./phone_live.js";
import { More } from "./phone_more.js";
import { calm, notice } from "./phone_notices.js";
import { Others } from "./phone_others.js";
import { copyLink, letSleep, one, root, say, showSection, stayAwake } from "./phone_page.js";
import { onPress } from "./presses.js";
import { InterpreterStatement } from "./statement_interpreter.js";
import { PersonStatement } from "./statement_person.js";

/** @type {{socket: string, home: string, iceServers: RTCIceServer[], slots: number, officer: string, words: Record<string, string>, after: Record<string, string>}} */
const given = JSON.parse(one(document, "#call-data").textContent ?? "{}");
const { words } = given;

const tab = new OneTab(`call ${given.socket}`);
const socket = new RoomSocket(given.socket);
/** @type {any} */
let snapshot = null;
/** What the person pressed last: nothing yet, to be in the call, or to be out of it. @type {"" | "in" | "out"} */
let wish = "";
let section = "";
let isAway = false;
let isHere = false; // this tab speaks for the person, and no other one does
const trouble = calm();

const tiles = new Tiles(one(root, "[data-tiles]"), {
  say: (key, values) => fill(words[key], values),
  stranger: given.officer,
  onBlocked: (blocked) => (control("hear").hidden = !blocked),
});
const more = new More(one(root, '[data-section="call"]'), words, {
  call: () => live.call,
  largest: () => tiles.largest,
  setSpeaker: (device) => void tiles.setSpeaker(device),
  tell,
  changed: () => {
    tellSending();
    devices.show();
  },
});
const live = new Live({
  socket,
  iceServers: given.iceServers,
  slots: given.slots,
  trouble,
  tiles,
  onShareTaken: () => void more.giveWay(),
  onFailed: cannotGoOn,
});
const devices = new OwnDevices(words, trouble, {
  call: () => live.call,
  more,
  tell,
  changed: tellSending,
  redraw: draw,
  play: () => tiles.play(),
});

const check = new Check(one(root, '[data-section="check"]'), {
  words,
  makeCall: (stream) => new Call({ socket, stream, iceServers: given.iceServers, slots: 1 }),
  onReady: enter,
});

const isGuest = root.querySelector("[data-statement]") === null; // a guest's page has no evidence, and an interpreter's alone a statement
const interprets = document.getElementById("interpreting") !== null;
const statement = interprets ? new InterpreterStatement(one(root, "[data-stage]")) : isGuest ? null : new PersonStatement(one(root, "[data-statement]"), one(root, "[data-stage]"));
const evidence = isGuest ? null : new PersonEvidence(one(root, "[data-evidence]"), one(root, "[data-stage]"));
const others = new Others(one(root, "[data-others]"), {
  send: (message) => socket.say(message),
  setMuted: (muted) => {
    if (trouble.isMuted !== muted) devices.toggleMute();
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
socket.addEventListener("state", (event) => {
  trouble.isCrowded = false;
  follow(/** @type {CustomEvent} */ (event).detail);
});
socket.addEventListener("crowded", () => (trouble.isCrowded = true));
socket.addEventListener("down", (event) => {
  trouble.downSince = /** @type {CustomEvent} */ (event).detail.since;
});
socket.addEventListener("up", () => {
  if (trouble.downSince) trouble.mendedAt = Date.now();
  trouble.downSince = 0;
  if (snapshot) follow(snapshot); // what was wished while the line was down is said now
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
  live.me = state.me ?? "";
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
  } else if (wish === "in" && devices.opened) {
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
  if (live.call) live.call.isHeld = state.held;
  show(trouble.inCall ? "call" : "waiting");
  if (!trouble.inCall) return;
  const self = (state.people ?? []).find((/** @type {any} */ person) => person.is_self);
  more.mayShare = self ? self.publishes.includes("screen") : true;
  const officer = { id: state.officer.id, name: state.officer.name || given.officer };
  tiles.know(othersIn(state, (person) => person.role === "officer", officer), state.sending ?? {}, state.me);
  live.attach();
}

/** Tell the room what we send and what keeps us from it, so that others read it instead of wondering. */
function tellSending() {
  trouble.soundOnly = more.soundOnly;
  trouble.isSharing = more.screen !== null;
  devices.name();
  if (!live.call) return;
  socket.stand("sending", { type: "sending", muted: trouble.isMuted, camera_off: !devices.isCameraOn || trouble.cameraTaken, audio_only: more.soundOnly });
  socket.stand("interrupted", { type: "pause", why: "interrupted", on: trouble.isInterrupted });
  socket.stand("device_lost", { type: "pause", why: "device_lost", on: trouble.deviceLost && !devices.hasMicrophone });
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
  wish = "in";
  devices.take(opened);
  void stayAwake();
  if (snapshot) follow(snapshot);
}

function startCall() {
  if (live.call || !devices.opened) return;
  live.start(devices.opened.stream);
  void more.resume();
  tellSending();
}

/** Trying again cannot help; the room's next snapshot says why, unless it never comes. */
function cannotGoOn() {
  const { call } = live;
  setTimeout(() => {
    if (isAway || live.call !== call || !["waiting", "call"].includes(section)) return;
    show("closed");
    letGo();
    socket.close();
  }, 3000);
}

/** Let go of call, camera, microphone and screen. */
function letGo() {
  check.close();
  statement?.close();
  more.end();
  live.close();
  devices.close();
  Object.assign(trouble, { soundOnly: false, isSharing: false });
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

document.addEventListener("visibilitychange", () => {
  if (document.visibilityState !== "visible" || !devices.opened) return;
  void stayAwake();
  live.call?.wake();
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
  drawSignal(one(root, "[data-signal]"), trouble.inCall ? live.link.signal : null, (strength) => words[`signal_${strength}`]);
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
  mute: () => devices.toggleMute(),
  camera: () => devices.toggleCamera(),
  hear: () => tiles.play(),
  more: () => more.toggle(),
  swap: () => devices.swapCamera(),
  sound_only: () => more.toggleSoundOnly(),
  share: () => more.toggleShare(),
  window: () => more.shareWindow(),
  float: () => more.float(),
  restart: () => devices.restart(),
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
