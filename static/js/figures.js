// What the browser counts of a connection, as figures. Pure: reports in, values out.

/**
 * @typedef {object} Look one look at a connection
 * @property {number} packets that arrived in all
 * @property {number} local loudness of our microphone, 0 to 1
 * @property {number[]} remote loudness by slot, 0 to 1
 * @property {number[]} sounds sound packets by slot: a muted player leaves loudness at 0
 * @property {number[]} frames decoded frames by slot
 * @property {Counts} counts
 */

/**
 * @typedef {object} Counts totals since the connection began, of all that is received
 * @property {number} freezes
 * @property {number} samples of sound played
 * @property {number} concealed of them made up
 * @property {number} lost packets
 * @property {number} received packets
 * @property {number} width of the largest picture now, px; 0: none
 * @property {number} height
 * @property {number | null} roundTripMs there and back now
 * @property {number} upLoss what the other end says it lost of ours, 0 to 1
 * @property {SlotCounts[]} slots the same for each slot alone
 */

/** @typedef {{freezes: number, samples: number, concealed: number, width: number, height: number}} SlotCounts */

/**
 * @param {Iterable<any>} report values of an RTCStatsReport
 * @param {(string | null)[]} mids of the receiving m-lines in order: sound and picture of slot 0, of slot 1, …
 * @returns {Look}
 */
export function read(report, mids) {
  const slotOf = new Map(mids.map((mid, n) => [mid, n >> 1]));
  const slots = mids.length >> 1;
  /** @type {Look} */
  const look = {
    packets: 0,
    local: 0,
    remote: Array(slots).fill(0),
    sounds: Array(slots).fill(0),
    frames: Array(slots).fill(0),
    counts: { freezes: 0, samples: 0, concealed: 0, lost: 0, received: 0, width: 0, height: 0, roundTripMs: null, upLoss: 0, slots: [] },
  };
  look.counts.slots = Array.from({ length: slots }, () => ({ freezes: 0, samples: 0, concealed: 0, width: 0, height: 0 }));
  const { counts } = look;
  for (const one of report) {
    if (one.type === "transport") look.packets += one.packetsReceived ?? one.bytesReceived ?? 0;
    else if (one.type === "media-source" && one.kind === "audio") look.local = one.audioLevel ?? 0;
    else if (one.type === "remote-inbound-rtp") counts.upLoss = Math.max(counts.upLoss, one.fractionLost ?? 0);
    else if (one.type === "candidate-pair" && one.nominated && one.currentRoundTripTime !== undefined) {
      counts.roundTripMs = Math.round(one.currentRoundTripTime * 1000);
    } else if (one.type === "inbound-rtp") readInbound(one, slotOf.get(one.mid) ?? 0, look);
  }
  return look;
}

/**
 * @param {any} one
 * @param {number} slot
 * @param {Look} look
 */
function readInbound(one, slot, look) {
  const { counts } = look;
  const own = counts.slots[slot] ?? { freezes: 0, samples: 0, concealed: 0, width: 0, height: 0 };
  counts.lost += Math.max(0, one.packetsLost ?? 0);
  counts.received += one.packetsReceived ?? 0;
  if (one.kind === "audio") {
    look.remote[slot] = one.audioLevel ?? 0;
    look.sounds[slot] = one.packetsReceived ?? 0;
    own.samples = one.totalSamplesReceived ?? 0;
    own.concealed = Math.max(0, (one.concealedSamples ?? 0) - (one.silentConcealedSamples ?? 0)); // silence made up is DTX
    counts.samples += own.samples;
    counts.concealed += own.concealed;
    return;
  }
  look.frames[slot] = one.framesDecoded ?? 0;
  own.freezes = one.freezeCount ?? 0;
  counts.freezes += own.freezes;
  if ((one.framesPerSecond ?? 1) > 0) [own.width, own.height] = [one.frameWidth ?? 0, one.frameHeight ?? 0];
  if (own.width * own.height > counts.width * counts.height) [counts.width, counts.height] = [own.width, own.height];
}

/**
 * @typedef {object} Sample the last few seconds
 * @property {number} freezes
 * @property {number} concealed part of the sound that was made up, 0 to 1
 * @property {number | null} width
 * @property {number | null} height
 * @property {number | null} round_trip_ms
 * @property {number} loss worse of both ways, 0 to 1
 */

/**
 * Return what happened between two looks at one connection.
 * @param {Counts} before
 * @param {Counts} now
 * @returns {Sample}
 */
export function sample(before, now) {
  const played = now.samples - before.samples;
  const received = now.received - before.received;
  const lost = Math.max(0, now.lost - before.lost);
  return {
    freezes: Math.max(0, now.freezes - before.freezes),
    concealed: played > 0 ? clamp((now.concealed - before.concealed) / played) : 0,
    width: now.width || null,
    height: now.height || null,
    round_trip_ms: now.roundTripMs,
    loss: Math.max(received + lost > 0 ? clamp(lost / (received + lost)) : 0, clamp(now.upLoss)),
  };
}

/** @typedef {{freezes: number, concealed: number, width: number | null, height: number | null}} SlotSample */

/**
 * Return the same for each slot alone.
 * @param {Counts} before
 * @param {Counts} now
 * @returns {SlotSample[]}
 */
export function sampleSlots(before, now) {
  return now.slots.map((one, n) => {
    const was = before.slots[n] ?? one;
    const played = one.samples - was.samples;
    return {
      freezes: Math.max(0, one.freezes - was.freezes),
      concealed: played > 0 ? clamp((one.concealed - was.concealed) / played) : 0,
      width: one.width || null,
      height: one.height || null,
    };
  });
}

/** @param {number} value */
function clamp(value) {
  return Math.min(1, Math.max(0, value));
}
