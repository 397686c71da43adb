// The officer's call page: joins the room's socket, the call and what is drawn.

import { Call } from "../js/media.js";
import { post } from "../js/post.js";
import { RoomSocket } from "../js/signalling.js";
import { Devices } from "./booth-devices.js";
import { startEnd } from "./booth-end.js";
import { startNotes } from "./booth-notes.js";
import { Words, ask, get, read, show, write } from "./booth-page.js";
import { People } from "./booth-people.js";
import { RoomDrawing } from "./booth-room.js";
import { Remotes } from "./booth-remotes.js";
import { OfficerEvidence } from "./evidence_officer.js";
import { startStatement } from "./statement_officer.js";

const config = read("config");
const words = new Words(read("words"), config);
const onCameraKey = `on-camera ${config.here}`;
const socket = new RoomSocket(config.socket);
const devices = new Devices(words);
const remotes = new Remotes({ words, name: config.name });
const drawing = new RoomDrawing({
  words,
  name: config.name,
  ahead: Date.parse(config.now) - Date.now(),
  alertWords: read("alert-words"),
  onAdmit: admit,
  onDismiss: dismiss,
});
const people = new People({ ...config, words });
const evidence = new OfficerEvidence({ ...config, words, ahead: Date.parse(config.now) - Date.now() });
const statement = startStatement({ here: config.here, words });
const notes = startNotes({ url: `${config.here}/note`, ...config.note, words });
const button = {
  go: get("go", HTMLButtonElement),
  mute: get("mute", HTMLButtonElement),
  camera: get("camera", HTMLButtonElement),
  leave: get("leave", HTMLButtonElement),
};
const muted = { audio: false, video: false };
/** @type {Call|null} */
let call = null;
/** Why sound and picture may be missing, by cause; the first that has words is said. */
const trouble = { closed: "", server: "", relay: "", media: "" };
let downSince = 0;
let isOver = false;
let hasLeft = false;

startEnd({
  words,
  save: async () => (await Promise.all([notes.saved(5000), statement.saved(5000)])).every(Boolean),
  isUnsigned: () => statement.isOpen,
  beforeLeaving: hangUp,
});

socket.addEventListener("state", (event) => {
  const room = detail(event);
  remotes.setAdmitted(room.admitted);
  drawing.draw(room);
  people.follow(room);
  statement.follow(room.statement);
  evidence.follow(room);
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
socket.addEventListener("relay", (event) => setTrouble("relay", detail(event) === "lost" ? words.say("relayLost") : ""));
socket.addEventListener("closed", (event) => {
  const reason = detail(event).reason;
  hangUp();
  if (reason === "refused") location.reload(); // signed out, or no longer ours: the page says which
  if (reason === "elsewhere") setTrouble("closed", words.say("openedElsewhere"));
  drawButtons();
});
setInterval(() => {
  if (!downSince) return;
  const seconds = Math.round((Date.now() - downSince) / 1000);
  if (seconds >= 2) setTrouble("server", words.say("serverLost"));
}, 1000);

devices.addEventListener("changed", (event) => {
  const { stream } = detail(event);
  if (call) void call.replaceStream(stream);
});

button.go.addEventListener("click", () => void goOnCamera());
button.leave.addEventListener("click", leave);
button.mute.addEventListener("click", () => toggle("audio"));
button.camera.addEventListener("click", () => toggle("video"));

document.addEventListener("keydown", (event) => {
  if (!event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
  /** @type {Record<string, () => void>} */
  const keys = {
    KeyM: () => call && toggle("audio"),
    KeyC: () => call && toggle("video"),
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
  const started = new Call({ socket, stream, iceServers: config.iceServers, slots: config.slots });
  call = started;
  started.addEventListener("slots", (event) => remotes.draw(started.slots, detail(event)));
  started.addEventListener("flowing", () => setFlows(true));
  started.addEventListener("recovered", () => setTrouble("media", ""));
  started.addEventListener("broken", () => setTrouble("media", words.say("mediaBroken")));
  started.addEventListener("level", (event) => remotes.drawLevels(detail(event).remote));
  started.addEventListener("failed", hangUp);
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
  sessionStorage.removeItem(onCameraKey);
  setFlows(false);
  setTrouble("media", "");
  remotes.draw([], []);
  drawButtons();
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
  write(button.mute, words.say(muted.audio ? "unmute" : "mute"));
  write(button.camera, words.say(muted.video ? "cameraOn" : "cameraOff"));
  const notices = [muted.audio && "youAreMuted", muted.video && "yourCameraIsOff"].filter(Boolean).map((key) => words.say(String(key)));
  write(get("own-notice", HTMLElement), notices.join(" "));
}

function drawButtons() {
  const gone = isOver || trouble.closed !== "";
  button.go.hidden = call !== null || gone;
  for (const one of [button.mute, button.camera]) one.hidden = call === null || config.listens;
  button.leave.hidden = call === null;
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
  show(get("trouble", HTMLElement), trouble.closed || trouble.server || trouble.relay || trouble.media);
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

socket.open();
drawButtons();
if (sessionStorage.getItem(onCameraKey)) void goOnCamera(); // the page was reloaded in mid-call
else if (!config.listens) void devices.openIfAllowed();
