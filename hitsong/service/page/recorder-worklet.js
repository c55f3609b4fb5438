// Hands the microphone's samples, as one channel, to the page.

const BATCH = 32; // blocks of 128 samples between two messages

class Recorder extends AudioWorkletProcessor {
  blocks = [];

  process([channels]) {
    if (channels.length) {
      const block = new Float32Array(channels[0].length);
      for (const channel of channels) channel.forEach((value, i) => (block[i] += value / channels.length));
      this.blocks.push(block);
    }
    if (this.blocks.length === BATCH) {
      this.port.postMessage(this.blocks);
      this.blocks = [];
    }
    return true;
  }
}

registerProcessor("recorder", Recorder);
