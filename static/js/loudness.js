// How loud a microphone is, before any call. Speaks; draws nothing.

const EVERY_MS = 100;

/**
 * Call `tell` with 0 to 1 ten times a second until the returned function is called.
 * @param {MediaStream} stream
 * @param {(level: number) => void} tell
 * @returns {() => void}
 */
export function listen(stream, tell) {
  if (!stream.getAudioTracks().length) return () => {};
  const audio = new AudioContext();
  const source = audio.createMediaStreamSource(new MediaStream(stream.getAudioTracks()));
  const analyser = new AnalyserNode(audio, { fftSize: 1024 });
  source.connect(analyser);
  const wave = new Float32Array(analyser.fftSize);
  void audio.resume();
  const timer = setInterval(() => {
    analyser.getFloatTimeDomainData(wave);
    const power = wave.reduce((sum, value) => sum + value * value, 0) / wave.length;
    tell(Math.min(1, Math.sqrt(power) * 4)); // speech has an effective value of about 0.1
  }, EVERY_MS);
  return () => {
    clearInterval(timer);
    void audio.close();
  };
}
