// Feeds the model one sample of four signals at a time: node use_javascript.mjs

import { Model } from "./seed.js";

const model = new Model();
for (let t = 0; t < 120; ++t) {
  const x = [0, 1, 2, 3].map((channel) => 0.5 * Math.sin(0.15 * t + channel));
  if (t >= 40 && t < 80) {
    // a chirp on the second channel
    x[1] += 0.6 * Math.sin(0.3 * (t - 40) + 0.02 * (t - 40) * (t - 40));
  }
  const y = model.step(x);
  if (t % 10 === 9) console.log(`${String(t + 1).padStart(3)}  chirp ${y[1].toFixed(4)}`);
}
