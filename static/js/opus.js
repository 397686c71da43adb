// How sound is sent: redundantly where the browser can, and next to nothing while nobody speaks.

/** Ask for opus with redundancy (RED) where the browser has it: lost packets are then mostly heard anyway. @param {RTCRtpTransceiver} transceiver */
export function preferRedundancy(transceiver) {
  const codecs = RTCRtpReceiver.getCapabilities?.("audio")?.codecs ?? [];
  const red = codecs.filter((codec) => codec.mimeType.toLowerCase() === "audio/red");
  if (red.length && transceiver.setCodecPreferences) {
    transceiver.setCodecPreferences([...red, ...codecs.filter((codec) => !red.includes(codec))]);
  }
}

/** Let opus send next to nothing while nobody speaks (DTX); the answer decides what we send. @param {string} sdp */
export function withQuietRooms(sdp) {
  const opus = /^a=rtpmap:(\d+) opus\//gm;
  for (const [, type] of sdp.matchAll(opus)) {
    sdp = sdp.replace(new RegExp(`^(a=fmtp:${type} )(?!.*usedtx)(.*)$`, "gm"), "$1usedtx=1;$2");
  }
  return sdp;
}
