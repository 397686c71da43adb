// The officer's call page: joins the room's socket, the call and what is drawn.

import { canShareScreen } from "../js/devices.js";
import { Call } from "../js/media.js";
import { OneTab } from "../js/one_tab.js";
import { post } from "../js/post.js";
import { RoomSocket } from "../js/signalling.js";
import { Devices } from "./booth-devices.js";
import { Echo } from "./booth-echo.js";
import { startEnd } from "./booth-end.js";
import { Links } from "./booth-links.js";
import { startNotes } from "./booth-notes.js";
import { Own } from "./booth-own.js";
import { Words, ask, get, read, show, write } from "./booth-page.js";
import { People } from "./booth-people.js";
import { RoomDrawing } from "./booth-room.js";
import { Trouble } from "./booth-trouble.js";
import { Tiles, othersIn } from "./call-tiles.js";
import { canFloat, float } from "./call-tools.js";
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
const links = new Links(words);
const trouble = new Trouble({ words, name: config.name, dial: config.dial, reference: config.reference, socket });
const drawing = new RoomDrawing({
  words,
  name: config.name,
  ahead: Date.parse(config.now) - Date.now(),
  alertWords: read("alert-words"),
  onAdmit: admit,
  onDismiss: dismiss,
  linkOf: (participant) => links.find(participant),
  isPartly: () => own.isPartly,
});
const own = new Own({ words, devices, socket, listens: config.listens, call: () => call, link: () => (room?.me ? links.of(room.me) : null) });
const people = new People({ ...config, words, linkOf: (participant) => links.find(participant) });
const evidence = new OfficerEvidence({ ...config, words, ahead: Date.parse(config.now) - Date.now() });
const statement = startStatement({ here: config.here, words, listens: config.listens });
const notes = startNotes({ url: `${config.here}/note`, ...config.note, words });
const button = {
  go: get("go", HTMLButtonElement),
  float: get("float", HTMLButtonElement),
  leave: get("leave", HTMLButtonElement),
};
/** @type {any} */
let room = null;
/** @type {Call|null} */
let call = null;
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
  drawButtons();
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
  remotes.know(others(), room.sending ?? {}, room.me);
  drawStage();
  drawing.draw(room);
  people.follow(room);
  if (call) call.isHeld = room.held;
  trouble.drawRing(room, others());
  statement.follow(room.statement, room.people);
  evidence.follow(room);
  if (room.note) notes.show(room.note);
  if (room.ended && !isOver) finish();
  if (config.listens && !call && !isOver && !hasLeft) void goOnCamera();
});
socket.addEventListener("rung", (event) => {
  hearRung(detail(event));
  drawing.redraw();
  own.draw();
});
socket.addEventListener("quality", (event) => {
  const said = detail(event);
  hearRung(said); // also what was missed while the line was down
  links.hear(said, room);
  drawing.redraw();
});
socket.addEventListener("closed", (event) => {
  const reason = detail(event).reason;
  hangUp();
  if (reason === "refused") location.reload(); // signed out, or no longer ours: the page says which
  if (reason === "elsewhere") giveWay();
  drawButtons();
});
devices.addEventListener("changed", (event) => {
  const { stream } = detail(event);
  void (call ?? echo.call)?.replaceStream(stream);
  own.take(stream);
  trouble.set("device", "");
  drawButtons();
});
devices.addEventListener("speaker", (event) => void remotes.setSpeaker(detail(event).device));
devices.addEventListener("headset", (event) => {
  const { came, gone } = detail(event);
  own.tell(gone.length ? words.say("headsetGone", { device: gone[0].label }) : words.say("headsetCame", { device: came[0].label }));
});
devices.addEventListener("lost", () => {
  trouble.set("device", words.say("ownDeviceLost"));
  own.tellSending();
});
document.addEventListener("visibilitychange", () => {
  if (document.visibilityState !== "visible") return;
  call?.wake();
  socket.checkNow();
});

button.go.addEventListener("click", () => void goOnCamera());
button.leave.addEventListener("click", leave);
button.float.addEventListener("click", () => void float(remotes.largest).catch(() => {})); // refused while nothing has come yet

document.addEventListener("keydown", (event) => {
  if (!event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
  /** @type {Record<string, () => void>} */
  const keys = {
    KeyM: () => call && !config.listens && own.toggle("audio"),
    KeyC: () => call && !config.listens && own.toggle("video"),
    KeyS: () => call && !config.listens && canShareScreen() && void own.toggleShare(),
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
  if (call || isOver || !isHere) return;
  button.go.disabled = true;
  const stream = config.listens ? new MediaStream() : (devices.stream ?? (await devices.open())); // who listens sends nothing
  button.go.disabled = false;
  if (!stream || call || isOver || !isHere) return;
  echo.stop();
  const started = new Call({ socket, stream, iceServers: config.iceServers, slots: config.slots });
  call = started;
  started.addEventListener("slots", (event) => {
    remotes.draw(started.slots, detail(event));
    drawStage();
  });
  started.addEventListener("quality", (event) => links.hearOwn(detail(event), room?.me, started.people));
  started.addEventListener("flowing", () => setFlows(true));
  started.addEventListener("recovered", () => trouble.set("media", ""));
  started.addEventListener("broken", () => {
    setTimeout(() => started.breaks.isOpen && trouble.set("media", words.say("mediaBroken")), FLICKER_MS);
  });
  started.addEventListener("level", (event) => remotes.drawLevels(detail(event).remote));
  started.addEventListener("share_taken", () => void own.giveWay());
  started.addEventListener("failed", hangUp);
  sessionStorage.setItem(onCameraKey, "yes");
  get("check", HTMLDetailsElement).open = false;
  own.begin(started);
  drawButtons();
  try {
    await started.start({});
  } catch {
    hangUp();
    trouble.set("media", words.say("mediaBroken"));
  }
}

/** Stop being seen and heard; the room stays as it is. */
function hangUp() {
  call?.close();
  call = null;
  own.end();
  if (document.pictureInPictureElement) void document.exitPictureInPicture().catch(() => {});
  sessionStorage.removeItem(onCameraKey);
  setFlows(false);
  trouble.set("media", "");
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

/** @param {{of: string, rung: string}} said */
function hearRung({ of, rung }) {
  links.of(of).hearRung(rung);
  if (of === room?.me) own.hearRung(rung);
}

/** Everybody else in the call, the person first. */
function others() {
  return othersIn(room, (person) => person.id === room.admitted, { id: room.admitted, name: config.name });
}

function drawStage() {
  get("stage-empty", HTMLElement).hidden = !remotes.isEmpty;
}

function drawButtons() {
  button.go.hidden = call !== null || isOver || !isHere; // pressed before it is our turn it would do nothing
  for (const one of [own.button.mute, own.button.camera, own.button.soundOnly]) one.hidden = call === null || config.listens;
  button.leave.hidden = call === null;
  own.button.share.hidden = call === null || config.listens || !canShareScreen();
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
