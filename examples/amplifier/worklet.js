// Runs in the audio thread: every channel goes through a model of its own, sample by sample.

import { Model } from "./amp.js";

class Amplifier extends AudioWorkletProcessor {
  models = []; // one for each channel, since each has a state
  x = new Float32Array(1);
  y = new Float32Array(1);

  process([input], [output]) {
    input.forEach((samples, channel) => {
      const model = (this.models[channel] ??= new Model());
      for (let t = 0; t < samples.length; ++t) {
        this.x[0] = samples[t];
        model.step(this.x, this.y); // into y, so that nothing is allocated
        output[channel][t] = this.y[0];
      }
    });
    return true;
  }
}

registerProcessor("amplifier", Amplifier);
