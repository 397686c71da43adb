// The officer's call page: joins the room's socket, the call and what is drawn.

import { DeviceProblem, canShareScreen, openScreen } from "../js/devices.js";
import { Call } from "../js/media.js";
import { OneTab } from "../js/one_tab.js";
import { post } from "../js/post.js";
import { RoomSocket } from "../js/signalling.js";
import { Devices } from "./booth-devices.js";
import { Echo } from "./booth-echo.js";
import { startEnd } from "./booth-end.js";
import { startNotes } from "./booth-notes.js";
import { Words, ask, get, read, show, write } from "./booth-page.js";
import { People } from "./booth-people.js";
import { RoomDrawing } from "./booth-room.js";
import { Figures } from "./call-figures.js";
import { Graph } from "./call-graph.js";
import { Tiles } from "./call-tiles.js";
import { LinkState, canFloat, drawSignal, float, plainPicture } from "./call-tools.js";
import { OfficerEvidence } from "./evidence_officer.js";
import { startStatement } from "./statement_officer.js";

const FLICKER_MS = 1000; // a change of networks takes less: nobody need read of it

const config = read("config");
const words = new Words(read("words"), config);
const onCameraKey = `on-camera ${config.here}`;
const tab = new OneTab(`call ${config.here}`);
const socket = new RoomSocket(config.socket);
const devices = new Devices(words);
const echo = new Echo({ words, makeCall: (stream) => new Call({ socket, stream, iceServers: config.iceServers, slots: 1 }), getStream: () => devices.stream });
const remotes = new Tiles(get("remotes", HTMLElement), { say: words.say.bind(words), stranger: words.say("colleague") });
/** @type {Map<string, LinkState>} by participant */
const links = new Map();
const graph = new Graph(get("graph", HTMLElement), words.say.bind(words));
const figures = new Figures(get("figures", HTMLElement), { say: words.say.bind(words), linkOf: (participant) => links.get(participant) });
const drawing = new RoomDrawing({
  words,
  name: config.name,
  ahead: Date.parse(config.now) - Date.now(),
  alertWords: read("alert-words"),
  onAdmit: admit,
  onDismiss: dismiss,
  linkOf: (participant) => links.get(participant),
  isPartly,
});
const people = new People({ ...config, words, linkOf: (participant) => links.get(participant) });
const evidence = new OfficerEvidence({ ...config, words, ahead: Date.parse(config.now) - Date.now() });
const statement = startStatement({ here: config.here, words, listens: config.listens });
const notes = startNotes({ url: `${config.here}/note`, ...config.note, words });
const button = {
  go: get("go", HTMLButtonElement),
  mute: get("mute", HTMLButtonElement),
  camera: get("camera", HTMLButtonElement),
  share: get("share", HTMLButtonElement),
  soundOnly: get("sound-only", HTMLButtonElement),
  float: get("float", HTMLButtonElement),
  leave: get("leave", HTMLButtonElement),
};
const muted = { audio: false, video: false };
let soundOnly = false;
/** @type {MediaStreamTrack|null} */
let screen = null;
/** @type {MediaStreamTrack|null} */
let plain = null;
/** Something to say for a moment beside the picture. */
let news = { text: "", at: 0 };
/** What another program has taken of our devices. */
const taken = { audio: false, video: false };
let ownRung = "full";
/** @type {any} */
let room = null;
/** @type {Call|null} */
let call = null;
/** Why sound and picture may be missing, by cause; the first that has words is said. */
const trouble = { server: "", relay: "", media: "", device: "" };
let downSince = 0;
let isOver = false;
let hasLeft = false;
let isHere = false; // this tab speaks for us, and no other one does

startEnd({
  words,
  save: async () => (await Promise.all([notes.saved(5000), statement.saved(5000)])).every(Boolean),
  isUnsigned: () => statement.isOpen,
  beforeLeaving: hangUp,
});

tab.addEventListener("here", () => {
  const wasElsewhere = !get("elsewhere", HTMLElement).hidden;
  isHere = true;
  showElsewhere(false);
  if (wasElsewhere && document.activeElement === document.body) get("who-waits", HTMLElement).focus(); // the button has gone
  socket.open();
  if (sessionStorage.getItem(onCameraKey)) void goOnCamera(); // the page was reloaded in mid-call
  else if (!config.listens) void devices.openIfAllowed();
});
tab.addEventListener("elsewhere", () => {
  if (isHere) giveWay();
  else showElsewhere(true);
});
get("move-here", HTMLButtonElement).addEventListener("click", () => {
  hasLeft = false;
  tab.move();
});

socket.addEventListener("state", (event) => {
  room = detail(event);
  remotes.know(known(room), room.sending ?? {}, room.me);
  drawStage();
  drawing.draw(room);
  people.follow(room);
  if (call) call.isHeld = room.held;
  drawRing();
  statement.follow(room.statement);
  evidence.follow(room);
  if (room.note) notes.show(room.note);
  if (room.ended && !isOver) finish();
  if (config.listens && !call && !isOver && !hasLeft) void goOnCamera();
});
socket.addEventListener("down", (event) => {
  downSince = detail(event).since;
});
socket.addEventListener("up", () => {
  downSince = 0;
  setTrouble("server", "");
});
socket.addEventListener("rung", (event) => {
  hearRung(detail(event));
  drawing.redraw();
  drawOwnNotice();
});
socket.addEventListener("quality", (event) => {
  const said = detail(event);
  linkOf(said.of).hearQuality(said);
  hearRung(said); // also what was missed while the line was down
  drawing.redraw();
  figures.draw(room?.people ?? [], words.say("figures.self"));
  get("graph-part", HTMLElement).hidden = false;
  if (said.of === room?.admitted) graph.add(said);
});
socket.addEventListener("relay", (event) => setTrouble("relay", detail(event) === "lost" ? words.say("relayLost") : ""));
socket.addEventListener("closed", (event) => {
  const reason = detail(event).reason;
  hangUp();
  if (reason === "refused") location.reload(); // signed out, or no longer ours: the page says which
  if (reason === "elsewhere") giveWay();
  drawButtons();
});
setInterval(() => {
  if (!downSince) return;
  const seconds = Math.round((Date.now() - downSince) / 1000);
  if (seconds >= 2) setTrouble("server", words.say("serverLost"));
}, 1000);

devices.addEventListener("changed", (event) => {
  const { stream } = detail(event);
  void (call ?? echo.call)?.replaceStream(stream);
  taken.audio = stream.getAudioTracks().some((/** @type {MediaStreamTrack} */ track) => track.muted);
  taken.video = stream.getVideoTracks().some((/** @type {MediaStreamTrack} */ track) => track.muted);
  setTrouble("device", "");
  tellSending();
  drawButtons();
});
devices.addEventListener("speaker", (event) => void remotes.setSpeaker(detail(event).device));
devices.addEventListener("headset", (event) => {
  const { came, gone } = detail(event);
  tell(gone.length ? words.say("headsetGone", { device: gone[0].label }) : words.say("headsetCame", { device: came[0].label }));
});
devices.addEventListener("taken", (event) => {
  const { kind, taken: isTaken } = /** @type {{kind: "audio"|"video", taken: boolean}} */ (detail(event));
  if (isTaken === taken[kind]) return;
  taken[kind] = isTaken;
  tellSending();
  drawOwnNotice();
});
devices.addEventListener("lost", () => {
  setTrouble("device", words.say("ownDeviceLost"));
  tellSending();
});
document.addEventListener("visibilitychange", () => {
  if (document.visibilityState !== "visible") return;
  call?.wake();
  socket.checkNow();
});

button.go.addEventListener("click", () => void goOnCamera());
button.leave.addEventListener("click", leave);
button.mute.addEventListener("click", () => toggle("audio"));
button.camera.addEventListener("click", () => toggle("video"));
button.share.addEventListener("click", () => void toggleShare());
button.soundOnly.addEventListener("click", () => void toggleSoundOnly());
button.float.addEventListener("click", () => void float(remotes.largest).catch(() => {})); // refused while nothing has come yet

document.addEventListener("keydown", (event) => {
  if (!event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
  /** @type {Record<string, () => void>} */
  const keys = {
    KeyM: () => call && !config.listens && toggle("audio"),
    KeyC: () => call && !config.listens && toggle("video"),
    KeyS: () => call && !config.listens && canShareScreen() && void toggleShare(),
    KeyN: () => get("notes", HTMLTextAreaElement).focus(),
    KeyW: () => get("who-waits", HTMLElement).focus(),
  };
  const act = keys[event.code];
  if (!act || get("ask", HTMLDialogElement).open) return;
  event.preventDefault();
  act();
});

/** Be seen and heard. */
async function goOnCamera() {
  if (call || isOver) return;
  button.go.disabled = true;
  const stream = config.listens ? new MediaStream() : (devices.stream ?? (await devices.open())); // who listens sends nothing
  button.go.disabled = false;
  if (!stream || call || isOver) return;
  echo.stop();
  const started = new Call({ socket, stream, iceServers: config.iceServers, slots: config.slots });
  call = started;
  started.addEventListener("slots", (event) => {
    remotes.draw(started.slots, detail(event));
    drawStage();
  });
  started.addEventListener("quality", (event) => {
    if (room?.me) linkOf(room.me).hearOwn(detail(event));
    figures.add(detail(event).slots, started.people);
  });
  started.addEventListener("flowing", () => setFlows(true));
  started.addEventListener("recovered", () => setTrouble("media", ""));
  started.addEventListener("broken", () => {
    setTimeout(() => started.breaks.isOpen && setTrouble("media", words.say("mediaBroken")), FLICKER_MS);
  });
  started.addEventListener("level", (event) => remotes.drawLevels(detail(event).remote));
  started.addEventListener("share_taken", () => void stopSharing().then(() => tell(words.say("shareTaken"))));
  started.addEventListener("failed", hangUp);
  void started.setWithoutPicture("wish", soundOnly);
  sessionStorage.setItem(onCameraKey, "yes");
  get("check", HTMLDetailsElement).open = false;
  setMuted();
  drawButtons();
  try {
    await started.start({});
  } catch {
    hangUp();
    setTrouble("media", words.say("mediaBroken"));
  }
}

/** Stop being seen and heard; the room stays as it is. */
function hangUp() {
  call?.close();
  call = null;
  screen?.stop();
  screen = null;
  if (document.pictureInPictureElement) void document.exitPictureInPicture().catch(() => {});
  sessionStorage.removeItem(onCameraKey);
  setFlows(false);
  setTrouble("media", "");
  remotes.clear();
  drawStage();
  drawButtons();
}

/** Another tab of ours speaks now: it alone is seen and heard, and has the camera. */
function giveWay() {
  isHere = false;
  socket.close();
  devices.close();
  showElsewhere(true);
}

/** @param {boolean} elsewhere */
function showElsewhere(elsewhere) {
  get("elsewhere", HTMLElement).hidden = !elsewhere;
  document.body.classList.toggle("app-elsewhere", elsewhere);
}

function leave() {
  hasLeft = true;
  socket.send({ type: "leave" });
  hangUp();
  write(get("own-notice", HTMLElement), words.say("youLeft"));
  button.go.focus();
}

/** The call has ended, here or in another window. */
function finish() {
  isOver = true;
  hangUp();
  devices.close();
  const link = document.createElement("a");
  link.href = `${config.here}/summary`;
  link.className = "govuk-link";
  write(link, words.say("readSummary"));
  get("stage-empty", HTMLElement).replaceChildren(link);
}

/** @param {"audio"|"video"} kind */
function toggle(kind) {
  muted[kind] = !muted[kind];
  setMuted();
}

function setMuted() {
  call?.setMuted("audio", muted.audio);
  call?.setMuted("video", muted.video);
  if (muted.video && !plain) plain = plainPicture();
  if (!muted.video) {
    plain?.stop();
    plain = null;
  }
  void call?.showStill(plain);
  get("own-plain", HTMLElement).hidden = !muted.video;
  get("own", HTMLVideoElement).hidden = muted.video || !devices.stream?.getVideoTracks().length;
  nameButtons();
  tellSending();
  drawOwnNotice();
}

/** Something of ours is not sent, or not shown to us. */
function isPartly() {
  return muted.audio || muted.video || taken.audio || taken.video || soundOnly || ["no_picture", "sound_only", "ring"].includes(ownRung);
}

function nameButtons() {
  write(button.mute, words.say(muted.audio ? "unmute" : "mute"));
  write(button.camera, words.say(muted.video ? "cameraOn" : "cameraOff"));
  write(button.share, words.say(screen ? "shareStop" : "share"));
  write(button.soundOnly, words.say(soundOnly ? "withPicture" : "soundOnly"));
}

/** What stays true of our own side, and for a moment what has just happened. */
function drawOwnNotice() {
  const weak = { no_picture: "rung.own_no_picture", sound_only: "rung.own_sound_only", ring: "rung.own_sound_only" }[ownRung];
  const keys = [
    taken.audio && "ownInterrupted",
    muted.audio && "youAreMuted",
    soundOnly ? "youHaveSoundOnly" : muted.video ? "yourCameraIsOff" : taken.video && "ownCameraTaken",
    !soundOnly && weak,
    screen && "youShare",
  ];
  const lines = call ? keys.filter(Boolean).map((key) => words.say(String(key))) : [];
  if (Date.now() - news.at < 6000) lines.push(news.text);
  write(get("own-notice", HTMLElement), lines.join(" "));
  const own = room?.me ? linkOf(room.me).signal : null;
  get("own-signal-line", HTMLElement).hidden = !call || !own;
  drawSignal(get("own-signal", HTMLElement), own, (strength) => words.say(`signal.${strength}`));
}
setInterval(() => call && drawOwnNotice(), 1000);

/** @param {string} text */
function tell(text) {
  news = { text, at: Date.now() };
  drawOwnNotice();
}

/** Tell the room what we send, and what keeps us from it. */
function tellSending() {
  if (!call || config.listens) return;
  const lives = (/** @type {string} */ kind) => devices.stream?.getTracks().some((track) => track.kind === kind && track.readyState === "live") ?? false;
  const hasSound = lives("audio");
  const sends = { muted: muted.audio || taken.audio || !hasSound, camera_off: muted.video || taken.video || !lives("video"), audio_only: soundOnly };
  socket.stand("sending", { type: "sending", ...sends });
  socket.stand("interrupted", { type: "pause", why: "interrupted", on: taken.audio });
  socket.stand("device_lost", { type: "pause", why: "device_lost", on: !hasSound });
}

/** @param {{of: string, rung: string}} said */
function hearRung({ of, rung }) {
  linkOf(of).hearRung(rung);
  if (of !== room?.me) return;
  ownRung = rung;
  void call?.setWithoutPicture("link", rung === "sound_only" || rung === "ring");
}

async function toggleSoundOnly() {
  soundOnly = !soundOnly;
  await call?.setWithoutPicture("wish", soundOnly);
  nameButtons();
  tellSending();
  drawOwnNotice();
}

async function toggleShare() {
  if (screen) {
    await stopSharing();
    return;
  }
  if (call?.isSharedByOthers) {
    tell(words.say("shareTaken"));
    return;
  }
  try {
    screen = await openScreen();
    screen.onended = () => void stopSharing(); // by the browser's own bar
    await call?.shareScreen(screen);
  } catch (problem) {
    if (!(problem instanceof DeviceProblem)) throw problem;
    tell(words.say("shareProblem"));
  }
  nameButtons();
  drawOwnNotice();
}

async function stopSharing() {
  screen?.stop();
  screen = null;
  await call?.shareScreen(null);
  nameButtons();
  drawOwnNotice();
}

/** @param {string} participant */
function linkOf(participant) {
  let found = links.get(participant);
  if (!found) links.set(participant, (found = new LinkState()));
  return found;
}

/** Everybody else in the call, the person first. @param {any} state @returns {import("./call-tiles.js").Person[]} */
function known(state) {
  const others = (state.people ?? []).filter((/** @type {any} */ person) => !person.is_self);
  if (!others.length) return state.admitted ? [{ id: state.admitted, name: config.name, rank: 0 }] : [];
  return others.map((/** @type {any} */ person) => ({
    id: person.id,
    name: person.name_to_show,
    signs: person.signs === true,
    lost: person.lost === true,
    rank: person.id === state.admitted ? 0 : 1,
  }));
}

function drawStage() {
  get("stage-empty", HTMLElement).hidden = !remotes.isEmpty;
}

/** Whom to ring, and on which number, when not even sound gets through. */
function drawRing() {
  const out = room.gaps.filter((/** @type {any} */ gap) => gap.why === "ring" && gap.ended_at === null);
  const said = out.map((/** @type {any} */ gap) => {
    const person = known(room).find((one) => one.id === gap.participant);
    if (gap.participant !== room.admitted) return words.say("ringOther", { name: person?.name ?? words.say("colleague") });
    return words.say(config.dial ? "ring" : "ringHeld", { name: config.name, number: config.dial, reference: config.reference });
  });
  show(get("ring", HTMLElement), said.join(" "));
}

function drawButtons() {
  button.go.hidden = call !== null || isOver;
  for (const one of [button.mute, button.camera, button.soundOnly]) one.hidden = call === null || config.listens;
  button.leave.hidden = call === null;
  button.share.hidden = call === null || config.listens || !canShareScreen();
  button.float.hidden = call === null || !canFloat();
  echo.offer(call === null && !isOver && isHere && devices.stream !== null);
  get("go-to-end", HTMLElement).hidden = isOver;
  get("end-call", HTMLElement).hidden = isOver;
  drawing.onCamera = call !== null;
  drawing.redraw();
}

/** @param {boolean} flows */
function setFlows(flows) {
  drawing.flows = flows;
  drawing.redraw();
}

/** @param {keyof typeof trouble} cause @param {string} text */
function setTrouble(cause, text) {
  trouble[cause] = text;
  show(get("trouble", HTMLElement), trouble.server || trouble.relay || trouble.media || trouble.device);
}

/** @param {import("./booth-room.js").Person} person @param {number} others how many else wait */
async function admit(person, others) {
  const problem = get("admit-problem", HTMLElement);
  const reasons = [];
  if (person.word === "wrong") reasons.push(words.say("admitWrong"));
  if (others > 0) reasons.push(words.say("admitOthers"));
  if (reasons.length && !(await ask(reasons.join(" "), words.say("admitAnyway")))) return;
  const answer = await post(`${config.here}/admit`, { participant: person.id });
  show(problem, answer.ok ? "" : answer.said || words.say("offline"));
  if (answer.ok) await goOnCamera();
}

/** @param {string} alert */
async function dismiss(alert) {
  const answer = await post(`${config.here}/alerts/${alert}/dismiss`, {});
  show(get("admit-problem", HTMLElement), answer.ok ? "" : answer.said || words.say("offline"));
}

/** @param {Event} event */
function detail(event) {
  return /** @type {CustomEvent} */ (event).detail;
}

drawButtons();
tab.wait();
