// The page's side: puts the worklet between a sound and the loudspeaker.

export async function drive(context) {
  await context.audioWorklet.addModule(new URL("./worklet.js", import.meta.url));
  return new AudioWorkletNode(context, "drive");
}

/** Plays a plucked note through the model, again and again; returns what stops it. */
export async function play() {
  const context = new AudioContext();
  const note = new OscillatorNode(context, { type: "sawtooth", frequency: 110 });
  const volume = new GainNode(context, { gain: 0 });
  note.connect(volume).connect(await drive(context)).connect(context.destination);
  note.start();
  const pluck = () => {
    volume.gain.setValueAtTime(1, context.currentTime);
    volume.gain.exponentialRampToValueAtTime(0.01, context.currentTime + 0.9);
  };
  pluck();
  const timer = setInterval(pluck, 1000);
  return () => {
    clearInterval(timer);
    return context.close();
  };
}
