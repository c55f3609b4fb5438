// Records the microphone as WAV: MediaRecorder writes WebM, which the service does not decode.

export const LONGEST = 120; // seconds

/**
 * Start recording.
 *
 * @param {function(number, number)} onLevel - called with the seconds recorded and the latest level, 0 to 1
 * @returns {Promise<{finish: function(): File, discard: function()}>}
 * @throws {Error} with a sentence for the user, if the microphone cannot be used
 */
export async function record(onLevel) {
  if (!navigator.mediaDevices) {
    throw new Error("Recording works only on pages from HTTPS or from this computer (localhost).");
  }
  const context = new AudioContext();
  await context.audioWorklet.addModule("/page/recorder-worklet.js");
  let stream;
  try {
    // Processing for speech distorts music.
    const plain = {echoCancellation: false, noiseSuppression: false, autoGainControl: false};
    stream = await navigator.mediaDevices.getUserMedia({audio: plain});
  } catch (error) {
    context.close();
    throw new Error(
      error.name === "NotFoundError"
        ? "No microphone was found. Plug one in, or choose a file."
        : "The browser was not allowed to use the microphone. Allow it for this page, or choose a file.",
    );
  }
  const recorder = new AudioWorkletNode(context, "recorder");
  const blocks = [];
  recorder.port.onmessage = ({data}) => {
    blocks.push(...data);
    const peak = data.reduce((most, block) => block.reduce((m, x) => Math.max(m, Math.abs(x)), most), 0);
    onLevel(blocks.length * (blocks[0].length / context.sampleRate), peak);
  };
  context.createMediaStreamSource(stream).connect(recorder);
  recorder.connect(context.destination); // silent, but nodes without a destination do not run

  const discard = () => {
    recorder.port.onmessage = null;
    stream.getTracks().forEach((track) => track.stop());
    context.close();
  };
  const finish = () => {
    discard();
    const time = new Date().toLocaleTimeString("en-GB").replaceAll(":", ".");
    return new File([wav(blocks, context.sampleRate)], `Recording ${time}.wav`, {type: "audio/wav"});
  };
  return {finish, discard};
}

/** Mono 16-bit PCM in a RIFF WAVE container. */
export function wav(blocks, sampleRate) {
  const samples = blocks.reduce((n, block) => n + block.length, 0);
  const view = new DataView(new ArrayBuffer(44 + 2 * samples));
  const text = (at, letters) => [...letters].forEach((letter, i) => view.setUint8(at + i, letter.charCodeAt(0)));
  text(0, "RIFF");
  view.setUint32(4, 36 + 2 * samples, true);
  text(8, "WAVEfmt ");
  view.setUint32(16, 16, true); // bytes of the format
  view.setUint16(20, 1, true); // PCM
  view.setUint16(22, 1, true); // channels
  view.setUint32(24, sampleRate, true);
  view.setUint32(28, 2 * sampleRate, true); // bytes per second
  view.setUint16(32, 2, true); // bytes per frame
  view.setUint16(34, 16, true); // bits per sample
  text(36, "data");
  view.setUint32(40, 2 * samples, true);
  let at = 44;
  for (const block of blocks) {
    for (const value of block) {
      view.setInt16(at, Math.round(32767 * Math.min(1, Math.max(-1, value))), true);
      at += 2;
    }
  }
  return view.buffer;
}
