// The page's side: a sound, how loud it goes in, the amplifier, the loudspeaker.

import { SAMPLE_RATE } from "./amp.js";

/** The node that runs the model in the audio thread. */
export async function amplifier(context) {
  await context.audioWorklet.addModule(new URL("./worklet.js", import.meta.url));
  return new AudioWorkletNode(context, "amplifier");
}

/** Two seconds of a power chord: three strings, each noise in a delay line (Karplus and Strong). */
export function chord(context) {
  const sound = context.createBuffer(1, 2 * context.sampleRate, context.sampleRate);
  const samples = sound.getChannelData(0);
  for (const hertz of [82.4, 123.5, 164.8]) {
    const period = Math.round(context.sampleRate / hertz);
    const line = Float32Array.from({ length: period }, () => Math.random() - 0.5);
    for (let t = 0; t < samples.length; ++t) {
      const at = t % period;
      samples[t] += 0.4 * line[at];
      line[at] = 0.498 * (line[at] + line[(at + 1) % period]);
    }
  }
  return sound;
}

/** Plays a file, or a chord, again and again; returns what changes and what stops it. */
export async function play(file) {
  // The browser resamples what comes in and goes out.
  const context = new AudioContext({ sampleRate: SAMPLE_RATE });
  let buffer, node;
  try {
    buffer = file ? await context.decodeAudioData(await file.arrayBuffer()) : chord(context);
    node = await amplifier(context);
  } catch (error) {
    await context.close();
    throw error;
  }
  const source = new AudioBufferSourceNode(context, { buffer, loop: true });
  const [drive, wet, dry] = [1, 1, 0].map((gain) => new GainNode(context, { gain }));
  source.connect(drive).connect(node).connect(wet).connect(context.destination);
  source.connect(dry).connect(context.destination);
  source.start();
  return {
    change(decibels, through) {
      drive.gain.value = 10 ** (decibels / 20);
      wet.gain.value = through ? 0.5 : 0;
      dry.gain.value = through ? 0 : 1;
    },
    stop: () => context.close(),
  };
}
