"""Measure what README.md says, with the programs that make has built.

python measure.py measure BUILD    errors, and picture.svg
python measure.py times BUILD      how many times faster than real time both programs are
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import sounds
from sounds import esr, through

HERE = Path(__file__).parent
RATES = (44_100, 48_000)
TONE = 220  # Hz
COLOURS = {"input": "#9ca3af", "simulation": "#1d4ed8", "LSTM": "#f59e0b", "curve": "#15803d"}


def curve(sound):
    """What filter, static curve and filter make of a sound: curve.json, which train.py wrote."""
    parts = json.loads((HERE / "curve.json").read_text(encoding="utf-8"))
    before, after = (np.array(parts[name])[::-1] for name in ("before", "after"))
    filtered = np.convolve(sound, before)[: len(sound)]
    bent = np.interp(filtered, np.linspace(-2, 2, len(parts["curve"])), parts["curve"])
    return np.convolve(bent, after)[: len(sound)]


def resampled(sound, samples):
    """The same sound in another number of samples."""
    spectrum = np.fft.rfft(sound)
    return np.fft.irfft(spectrum[: samples // 2 + 1], samples) * samples / len(sound)


def audible(sound, rate):
    """The sound without what is below 20 Hz."""
    spectrum = np.fft.rfft(sound)
    spectrum[: 20 * len(sound) // rate] = 0
    return np.fft.irfft(spectrum, len(sound))


def errors(build):
    """ESR of the test phrase: of the generated code, and of what could be done instead."""
    amplifier, tube = build / "amplifier", build / "tube"
    given, wanted = {}, {}
    for rate in RATES:
        given[rate] = sounds.phrase(rate)
        wanted[rate] = through(tube, given[rate], rate)
    low, high = RATES
    x, y = given[high], wanted[high]
    between = through(amplifier, resampled(x, len(given[low])), low)
    made = through(amplifier, given[low], low)
    return {
        "amp.h at 44.1 kHz": esr(made, wanted[low]),
        "amp.h at 44.1 kHz, above 20 Hz": esr(audible(made, low), audible(wanted[low], low)),
        "amp48.h at 48 kHz": esr(through(amplifier, x, high), y),
        "amp.h at 48 kHz, as it is": esr(through(amplifier, x, low), y),
        "amp.h at 48 kHz, between two resamplers": esr(resampled(between, len(x)), y),
        "filter, curve, filter at 44.1 kHz": esr(curve(given[low]), wanted[low]),
    }


def harmonics(sound, rate):
    """Levels in dB of the harmonics of a tone, from the last second of it."""
    spectrum = 2 / rate * np.abs(np.fft.rfft(sound[-rate:]))
    return 20 * np.log10(np.maximum(spectrum[TONE:8000:TONE], 1e-6))


def tone(rate):
    """Two seconds of a sine; only the first is not yet steady."""
    return 0.35 * np.sin(2 * np.pi * TONE * np.arange(2 * rate) / rate)


def draw(build, path):
    """The picture: a waveform, the harmonics of a tone, the spectrum of a chord."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    amplifier, tube = build / "amplifier", build / "tube"
    rate = RATES[0]
    x = sounds.phrase(rate)
    made = {
        "input": x,
        "simulation": through(tube, x, rate),
        "curve": curve(x),
        "LSTM": through(amplifier, x, rate),
    }
    style = {"svg.hashsalt": "amplifier", "svg.fonttype": "none", "font.size": 9}
    with mpl.rc_context({**mpl.rcParamsDefault, **style}):
        figure = Figure((8, 7.4), layout="constrained", facecolor="white")
        wave, lines, chord = figure.subplots(3, 1)
        wide = {"input": 1, "simulation": 3, "curve": 1, "LSTM": 1.2}

        part = slice(round(0.79 * rate), round(0.802 * rate))
        for name, sound in made.items():
            time = 1000 * np.arange(part.start, part.stop) / rate
            wave.plot(time, sound[part], color=COLOURS[name], lw=wide[name], label=name)
        wave.set(title="12 ms of a power chord of the test", xlabel="ms", ylabel="sample")
        wave.set(ylim=(-0.65, 1.25))
        wave.legend(loc="upper right", ncols=4)

        for shift, (name, program, at) in enumerate(
            (
                ("simulation", tube, rate),
                ("LSTM, 44.1 kHz", amplifier, rate),
                ("LSTM, 48 kHz", amplifier, RATES[1]),
            )
        ):
            levels = harmonics(through(program, tone(at), at), at)[:16]
            place = np.arange(1, len(levels) + 1) + 0.27 * (shift - 1)
            shade = (COLOURS["simulation"], COLOURS["LSTM"], "#fcd34d")[shift]
            lines.bar(place, levels + 100, 0.25, -100, color=shade, label=name)
        lines.set(
            title=f"Harmonics of a sine of {TONE} Hz, which has the first alone",
            xlabel="harmonic", ylabel="dB",
            xticks=range(1, 17), ylim=(-90, 5),
        )  # fmt: skip
        lines.legend(loc="upper right", ncols=3)

        last = slice(3 * rate, 3 * rate + 32768)
        bins = np.unique(np.geomspace(60 * 32768 / rate, 12_000 * 32768 / rate, 260).astype(int))
        for name in ("input", "simulation", "LSTM"):
            power = np.abs(np.fft.rfft(made[name][last] * np.hanning(32768))) ** 2 / 8192**2
            bands = np.maximum.reduceat(power, bins)[:-1]
            hertz = np.sqrt(bins[:-1] * bins[1:]) * rate / 32768
            chord.plot(hertz, 10 * np.log10(bands), color=COLOURS[name], lw=wide[name], label=name)
        chord.set(title="A chord of five strings, the end of the test", xlabel="Hz", ylabel="dB")
        chord.set(xscale="log", ylim=(-110, 10), xlim=(60, 12_000))
        chord.set_xticks([100, 200, 500, 1000, 2000, 5000, 10_000], minor=False)
        chord.xaxis.set_major_formatter("{x:.0f}")
        chord.legend(loc="upper right", ncols=3)
        for axes in (wave, chord):
            axes.grid(color="#e5e7eb")
        figure.savefig(path, metadata={"Date": None, "Creator": None})
    # Two decimals are enough, and all machines have the same.
    text = re.sub(r"\d+\.\d{3,}", lambda m: f"{float(m[0]):.2f}", path.read_text(encoding="utf-8"))
    path.write_text("".join(f"{line.rstrip()}\n" for line in text.splitlines()), encoding="utf-8")


def times(build):
    """The best of five runs of each program on the test phrase."""
    with tempfile.TemporaryDirectory() as folder:
        given, made = Path(folder) / "given.wav", Path(folder) / "made.wav"
        for rate in RATES:
            sounds.write(given, sounds.phrase(rate), rate)
            for name in ("amplifier", "tube"):
                command = [build / name, given, made]
                said = [
                    subprocess.run(command, check=True, capture_output=True, text=True).stdout
                    for _ in range(5)
                ]
                best = max(said, key=lambda line: float(line.split()[-4]))
                print(f"{name} at {rate} Hz: {best}", end="")


if __name__ == "__main__":
    what, folder = sys.argv[1], Path(sys.argv[2]).resolve()
    if what == "times":
        times(folder)
    else:
        for name, value in errors(folder).items():
            print(f"{name:40} ESR {value:.5f}")
        draw(folder, HERE / "picture.svg")
