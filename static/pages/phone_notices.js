// @ts-check
// What a person is told while a call is disturbed: pure decisions, so that they can be read in one piece.

const LONG_MS = 20_000;
const FLICKER_MS = 1500;
const BACK_MS = 4000;
const NEWS_MS = 6000;

/**
 * @typedef {object} Trouble all times in ms since the epoch, 0 when it is well
 * @property {number} brokenSince our picture and sound
 * @property {number} downSince our line to the server
 * @property {boolean} isCrowded the page was opened too often to have a line to the server now
 * @property {number} officerSince the officer is not heard
 * @property {boolean} officerPresent the officer's page is open
 * @property {number} mendedAt when the last trouble ended
 * @property {boolean} inCall admitted; else waiting
 * @property {boolean} isMuted
 * @property {boolean} hasMet something of the officer has arrived
 * @property {boolean} deviceLost a camera or microphone stopped by itself
 * @property {string} rung where our link stands on the relay's ladder
 * @property {number} climbedAt when the picture came back after the link had been too weak for it
 * @property {boolean} isInterrupted a phone call or another app has the microphone
 * @property {boolean} cameraTaken another app has the camera
 * @property {boolean} soundOnly by the person's own wish
 * @property {boolean} isSharing
 * @property {string} news something to say for a moment: a headset came, nothing could be shared
 * @property {number} newsAt
 */

/** @returns {Trouble} none of it */
export function calm() {
  return {
    brokenSince: 0,
    downSince: 0,
    isCrowded: false,
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
}

/**
 * Return the sentence that matters most now, or "".
 * @param {Trouble} trouble
 * @param {number} now
 * @param {Record<string, string>} words
 */
export function notice(trouble, now, words) {
  if (trouble.isCrowded) return `${words.crowded} ${words.ring}`;
  const seesPicture = trouble.inCall && trouble.hasMet && trouble.brokenSince === 0; // a lost line alone disturbs nobody
  const ours = [trouble.brokenSince, seesPicture ? 0 : trouble.downSince].filter(
    (since) => since > 0 && now - since > FLICKER_MS,
  );
  if (ours.length) return lasting(now - Math.min(...ours), words.lost, words.lost_long, words.ring);
  if (trouble.inCall && trouble.officerSince > 0 && now - trouble.officerSince > FLICKER_MS) {
    const said = trouble.officerPresent ? words.officer_lost : words.officer_gone;
    return lasting(now - trouble.officerSince, said, said, words.ring);
  }
  if (trouble.inCall && trouble.rung === "ring") return words.rung_ring;
  if (trouble.isInterrupted) return words.interrupted;
  if (trouble.deviceLost) return words.device_lost;
  if (trouble.inCall && !trouble.hasMet) return words.connecting;
  if (trouble.mendedAt > 0 && now - trouble.mendedAt < BACK_MS) return words.back;
  if (trouble.newsAt > 0 && now - trouble.newsAt < NEWS_MS) return trouble.news;
  return trouble.inCall ? standing(trouble, now, words) : "";
}

/**
 * What stays true for a while and disturbs nobody: said one after the other.
 * @param {Trouble} trouble
 * @param {number} now
 * @param {Record<string, string>} words
 */
function standing(trouble, now, words) {
  const weak = { no_picture: words.rung_no_picture, sound_only: words.rung_sound_only }[trouble.rung];
  const climbed = trouble.climbedAt > 0 && now - trouble.climbedAt < BACK_MS ? words.rung_up : "";
  const picture = trouble.soundOnly ? words.you_have_sound_only : (weak ?? climbed);
  const shows = trouble.isSharing && !trouble.soundOnly && trouble.rung !== "sound_only"; // without pictures nothing is shown
  const lines = [trouble.isMuted ? words.you_are_muted : "", picture, trouble.cameraTaken ? words.camera_taken : "", shows ? words.you_share : ""];
  return lines.filter(Boolean).join(" ");
}

/**
 * @param {number} lastedMs
 * @param {string} first
 * @param {string} later
 * @param {string} ring what to do when it does not end
 */
function lasting(lastedMs, first, later, ring) {
  return lastedMs < LONG_MS ? first : `${later} ${ring}`;
}
