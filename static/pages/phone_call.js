// @ts-check
// The call page: check → waiting → call → goodbye in one document. What stands in the room's snapshot decides what is
// shown; this page only adds whether its own camera is on, and what the person wished last.

import { Call } from "../js/media.js";
import { RoomSocket } from "../js/signalling.js";
import { Check, mirror, openCamera, reopen } from "./phone_check.js";
import { LEAVING } from "./exit.js";
import { notice } from "./phone_notices.js";
import { copyLink, letSleep, one, root, say, showSection, stayAwake } from "./phone_page.js";
import { Others } from "./phone_others.js";
import { PersonEvidence } from "./evidence_person.js";
import { PersonStatement } from "./statement_person.js";

/** @type {{socket: string, home: string, iceServers: RTCIceServer[], slots: number, words: Record<string, string>, after: Record<string, string>}} */
const given = JSON.parse(one(document, "#call-data").textContent ?? "{}");
const { words } = given;
const remote = /** @type {HTMLVideoElement} */ (one(root, "[data-remote]"));
const own = /** @type {HTMLVideoElement} */ (one(root, "[data-own]"));
const preview = /** @type {HTMLVideoElement} */ (one(root, "[data-preview]"));

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
};

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

socket.addEventListener("state", (event) => follow(/** @type {CustomEvent} */ (event).detail));
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
  if (isAway || reason === "bye" || ["ended", "replaced", "removed"].includes(section)) return;
  if (!["replaced", "removed"].includes(snapshot?.view)) show(reason === "elsewhere" ? "elsewhere" : "closed");
  letGo();
});

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
  say("[data-waiting-words]", state.officer.present ? state.officer.knows : state.officer.away);
  say("[data-waiting-since]", state.since_words ? words.since.replace("{time}", state.since_words) : "");
  trouble.inCall = state.view === "call";
  statement?.follow(trouble.inCall ? state.statement : null);
  if (trouble.inCall) evidence?.follow(state.evidence);
  if (trouble.inCall) others.follow(state);
  show(trouble.inCall ? "call" : "waiting");
  if (trouble.inCall) attach();
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
  started.addEventListener("flowing", () => (trouble.hasMet = true));
  started.addEventListener("level", (event) => {
    if (/** @type {CustomEvent} */ (event).detail.remote.some((/** @type {number} */ level) => level > 0)) trouble.hasMet = true;
  });
  started.addEventListener("broken", (event) => {
    trouble.brokenSince = /** @type {CustomEvent} */ (event).detail.since;
  });
  started.addEventListener("recovered", () => {
    trouble.brokenSince = 0;
    trouble.mendedAt = Date.now();
  });
  started.addEventListener("failed", cannotGoOn);
  started.start().catch(cannotGoOn);
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

/** Show the slot in which the officer is; each fresh connection brings new slots. */
function attach() {
  if (!call || !trouble.inCall) return;
  const officer = call.people.find((person) => person.participant === snapshot?.officer?.id) ?? call.people[0];
  const slot = call.slots[officer?.slot ?? 0];
  if (!slot || remote.srcObject === slot.stream) return;
  remote.srcObject = slot.stream;
  play();
}

function play() {
  remote.play().then(
    () => (control("hear").hidden = true),
    (problem) => {
      if (problem.name === "NotAllowedError") control("hear").hidden = false;
    },
  );
}

/** Let go of call, camera, microphone and screen. */
function letGo() {
  check.close();
  statement?.close();
  call?.close();
  call = null;
  for (const track of devices?.stream.getTracks() ?? []) track.stop();
  devices = null;
  for (const player of [remote, own, preview]) player.srcObject = null;
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
  for (const track of devices?.stream.getTracks() ?? []) {
    track.onended = () => {
      trouble.deviceLost = true;
      control("restart").hidden = false;
      nameControls();
    };
  }
}

function showOwn() {
  if (!devices) return;
  const seen = isCameraOn();
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
  control("mute").textContent = trouble.isMuted ? words.unmute : words.mute;
  control("camera").textContent = isCameraOn() ? words.camera_off : words.camera_on;
}

function toggleMute() {
  trouble.isMuted = !trouble.isMuted;
  call?.setMuted("audio", trouble.isMuted);
  nameControls();
  draw();
}

async function toggleCamera() {
  if (!devices || !call) return;
  const lives = devices.stream.getVideoTracks().some((track) => track.readyState === "live");
  if (lives) {
    call.setMuted("video", isCameraOn());
    showOwn();
    return;
  }
  await change((before) => openCamera(before.stream, before.facing));
  call?.setMuted("video", false);
  showOwn();
}

/** A camera or microphone stopped by itself: open it again, for which the browser wants a press. */
async function restart() {
  await change((before) => reopen(before.stream, before.facing));
}

/**
 * Put other devices in place of the present ones, in the call too.
 * @param {(before: import("./phone_check.js").Devices) => Promise<MediaStream>} open
 */
async function change(open) {
  const before = devices;
  if (!before) return;
  try {
    const stream = await open(before);
    if (devices !== before) {
      for (const track of stream.getTracks()) track.stop(); // left meanwhile
      return;
    }
    devices = { ...before, stream };
    await call?.replaceStream(stream);
    call?.setMuted("audio", trouble.isMuted);
    trouble.deviceLost = false;
    control("restart").hidden = true;
    watchTracks();
    showOwn();
  } catch {
    say("[data-call-notice]", words.device_problem);
  }
}

document.addEventListener("visibilitychange", () => {
  if (document.visibilityState !== "visible" || !devices) return;
  void stayAwake();
  if (trouble.inCall) play();
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
}

setInterval(draw, 500);

/** @param {boolean} asking */
function askToLeave(asking) {
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
  hear: play,
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
  reload: () => location.reload(),
};

root.addEventListener("click", (event) => {
  const pressed = /** @type {HTMLElement | null} */ (/** @type {Element} */ (event.target).closest("[data-do]"));
  if (pressed) deeds[pressed.dataset.do ?? ""]?.(pressed);
});

/** A button of the call itself. @param {string} name */
function control(name) {
  return one(root, `[data-section="call"] [data-do="${name}"]`);
}

socket.open();
