"""Measure the generated files on the sounds of the test: python measure.py.

Builds detect.c with each file, runs it on every scene, counts instructions on an emulated
Cortex-M4F, and writes results.json, curve.svg and the tables of README.md.

    --time                  times detect on this machine instead
    --recordings FOLDER     puts the WAV files of a folder into the noises of the test instead
    --seed N                measures on another test instead, with other pauses and noises
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import wave
from pathlib import Path

import numpy as np
import picture
from energy import energy
from mel import HOP, RATE
from scenes import TEST_NOISES, TEST_SNR, Scene, delayed, scene, scenes_of_test

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
THRESHOLD = 0.5
FILES = {"float": "voice.h", "int16": "voice_int16.h", "int8": "voice_int8.h"}


def build(header: str, folder: Path) -> Path:
    """detect.c with one of the generated files, as a program in a folder."""
    program = folder / Path(header).stem
    flags = ["-std=c99", "-O2", f'-DVOICE="{header}"']
    subprocess.run(["gcc", *flags, HERE / "detect.c", "-o", program, "-lm"], check=True)
    return program


def detect(program: Path, pcm: np.ndarray) -> np.ndarray:
    """The probability that the program prints for each hop."""
    command, sound = [str(program), "-p"], pcm.astype("<i2").tobytes()
    done = subprocess.run(command, input=sound, stdout=subprocess.PIPE, check=True)
    return np.array(done.stdout.split(), float)


# ---- accuracy ----


def area(score: np.ndarray, speech: np.ndarray) -> float:
    """The area under the detection curve: how often a hop of speech scores above one of noise."""
    _, place, count = np.unique(score, return_inverse=True, return_counts=True)
    rank = (np.cumsum(count) - (count - 1) / 2)[place]
    n = int(speech.sum())
    return float((rank[speech].sum() - n * (n + 1) / 2) / (n * (len(speech) - n)))


def errors(score: np.ndarray, speech: np.ndarray, threshold: float) -> tuple[float, float]:
    """The share of speech that is missed, and that of noise taken for speech."""
    said = score >= threshold
    return float(np.mean(~said[speech])), float(np.mean(said[~speech]))


def curve(score: np.ndarray, speech: np.ndarray) -> list[tuple[float, float]]:
    """Points (false alarms, missed), from one false alarm in a thousand to nothing else."""
    noise = np.sort(score[~speech])[::-1]
    found = []
    for false in np.geomspace(0.001, 1, 61):
        threshold = noise[min(int(false * len(noise)), len(noise) - 1)]
        missed, alarms = errors(score, speech, threshold)
        found.append((round(alarms, 4), round(missed, 4)))
    return sorted(set(found))


def onsets(score: list[np.ndarray], made: list[Scene]) -> list[float]:
    """Milliseconds from where speech begins, after 300 ms without, to where the program says so."""
    found = []
    for said, one in zip(score, made, strict=True):
        for start in range(30, len(one.speech)):
            if one.speech[start] and not one.speech[start - 30 : start].any():
                after = np.flatnonzero(said[start : start + 50] >= THRESHOLD)
                if len(after) and not (said[start - 5 : start] >= THRESHOLD).any():
                    found.append(float(after[0] + 1) * 1000 * HOP / RATE)
    return found


def accuracy(score: list[np.ndarray], made: list[Scene], threshold: float) -> dict:
    """Area and errors of all scenes, and by ratio and noise."""

    def of(chosen: list[int]) -> dict:
        values = np.concatenate([score[i] for i in chosen])
        speech = np.concatenate([delayed(made[i].speech) for i in chosen])
        missed, alarms = errors(values, speech, threshold)
        return {"area": area(values, speech), "missed": missed, "alarms": alarms}

    everything = range(len(made))
    return {
        **of(list(everything)),
        "snr": {str(s): of([i for i in everything if made[i].snr == s]) for s in TEST_SNR},
        "noise": {
            name: of([i for i in everything if made[i].noise == name])
            for name in dict.fromkeys(one.noise for one in made)
        },
    }


# ---- size and time ----


def count(header: str, pcm: np.ndarray, folder: Path) -> dict:
    """Flash, RAM and instructions of the detector with a file on an emulated Cortex-M4F.

    Bytes are those of the program with the features and the network, less those without.
    """
    sys.path.insert(0, str(ROOT))
    from tests.support import emulators

    hops = pcm[: len(pcm) // HOP * HOP].reshape(-1, HOP)
    rows = ",\n".join("{" + ", ".join(map(str, hop)) + "}" for hop in hops)
    text = f"#define HOPS {len(hops)}\nstatic const int16_t pcm[HOPS][{HOP}] = {{\n{rows}}};\n"
    (folder / "pcm.h").write_text(text, encoding="utf-8")
    flash, runs = [], []
    for part in range(3):
        options = [f"-DPART={part}", f'-DVOICE="{header}"', f"-I{folder}"]
        elf = folder / f"part{part}.elf"
        emulators.build("m4f", [HERE / "count.c"], elf, optimise="-O2", options=options)
        runs.append(emulators.run("m4f", elf))
        assert runs[-1].status == 0, runs[-1].text
        flash.append(emulators.sizes("m4f", elf).flash)
    values = runs[2].values
    return {
        "flash": {"features": flash[1] - flash[0], "network": flash[2] - flash[1]},
        "ram": {"features": int(values["mel_bytes"]), "network": int(values["voice_bytes"])},
        "stack": int(values["stack"]),
        "instructions": {"features": int(values["features"]), "network": int(values["network"])},
    }


def busy(instructions: int, megahertz: float) -> float:
    """Per cent of its time that a processor spends, at an assumed 1.5 cycles an instruction."""
    return 100 * instructions * 1.5 / (megahertz * 1e6 * HOP / RATE)


def timed(program: Path, made: list[Scene]) -> float:
    """Microseconds that this machine's processor spends on a hop, the least of five runs."""
    sound = np.concatenate([one.pcm for one in made])
    taken = []
    for _ in range(5):
        before = os.times()
        detect(program, sound)
        after = os.times()
        taken.append(
            after.children_user
            - before.children_user
            + after.children_system
            - before.children_system
        )
    return min(taken) / (len(sound) / HOP) * 1e6


def recorded(folder: Path) -> list[Scene]:
    """Scenes of WAV files, each twice in every noise of the test at 10 dB."""
    from scipy.signal import resample_poly

    rng = np.random.default_rng(3)
    made = []
    for path in sorted(folder.glob("*.wav")):
        with wave.open(str(path)) as file:
            pcm = np.frombuffer(file.readframes(file.getnframes()), "<i2")
            pcm = pcm.reshape(-1, file.getnchannels()).mean(axis=1) / 32768
            words = resample_poly(pcm, RATE, file.getframerate())
        for name, noise in TEST_NOISES.items():
            made.append(scene(rng, [words, words], noise(rng, 10 * RATE), name, 10.0))
    return made


def areas(program: Path, made: list[Scene]) -> str:
    """The areas of network and energy, in words."""
    speech = np.concatenate([delayed(one.speech) for one in made])
    network = area(np.concatenate([detect(program, one.pcm) for one in made]), speech)
    level = area(np.concatenate([energy(one.pcm) for one in made]), speech)
    return f"area under the curve: {network:.3f}, of the energy {level:.3f}"


def measured(folder: Path) -> dict:
    """All that results.json holds."""
    made = scenes_of_test(HERE / "speech.npz")
    speech = np.concatenate([delayed(one.speech) for one in made])
    results: dict = {"seconds": len(speech) * HOP / RATE, "speech": float(speech.mean())}
    results["files"], results["curves"] = {}, {}
    for name, header in FILES.items():
        program = build(header, folder)
        score = [detect(program, one.pcm) for one in made]
        results["files"][name] = {
            **accuracy(score, made, THRESHOLD),
            "board": count(header, made[0].pcm[: RATE // 2], folder),
        }
        results["curves"][name] = curve(np.concatenate(score), speech)
        if name == "float":
            delays = onsets(score, made)
            results["onsets"] = {
                "count": len(delays),
                "median": float(np.median(delays)),
                "nine_in_ten": float(np.quantile(delays, 0.9)),
            }
    # as many false alarms as the network: what does the energy miss?
    score = [energy(one.pcm) for one in made]
    everything = np.concatenate(score)
    alarms = results["files"]["float"]["alarms"]
    threshold = float(np.quantile(everything[~speech], 1 - alarms))
    results["energy"] = {**accuracy(score, made, threshold), "threshold": threshold}
    results["curves"]["energy"] = curve(everything, speech)
    return results


def percent(share: float) -> str:
    """A share as the tables have it."""
    return f"{share:.1%}".replace("%", " %")


def tables(results: dict) -> str:
    """The tables of README.md."""
    energy = results["energy"]
    lines = [
        "| | area under the curve | missed | false alarms | flash | RAM | instructions for 10 ms |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, one in results["files"].items():
        board = one["board"]
        sums = [sum(board[key].values()) for key in ("flash", "ram", "instructions")]
        sums[1] += board["stack"]
        lines.append(
            f"| [{FILES[name]}]({FILES[name]}) | {one['area']:.3f} | {percent(one['missed'])} "
            f"| {percent(one['alarms'])} | " + " | ".join(f"{s:,}" for s in sums) + " |"
        )
    lines.append(
        f"| level above the noise floor | {energy['area']:.3f} | {percent(energy['missed'])} "
        f"| {percent(energy['alarms'])} | | | |"
    )
    ratios = [f"{float(ratio):g} dB" for ratio in energy["snr"]]
    lines += ["", "| speech to noise | " + " | ".join(ratios) + " |"]
    lines.append("| --- " * (len(ratios) + 1) + "|")
    for name, one in (("voice.h", results["files"]["float"]), ("level", energy)):
        for key, title in (("missed", "missed"), ("alarms", "false alarms")):
            row = " | ".join(percent(of[key]) for of in one["snr"].values())
            lines.append(f"| {name}: {title} | {row} |")
    return "\n".join(lines)


def page(text: str, results: dict) -> str:
    """README.md with the tables of these results."""
    before, rest = text.split("<!-- tables -->\n")
    after = rest.split("<!-- end of tables -->")[1]
    return f"{before}<!-- tables -->\n{tables(results)}\n<!-- end of tables -->{after}"


def host(folder: Path) -> Path:
    """The network in the layout for desktop processors."""
    header = folder / "voice_host.h"
    command = [sys.executable, "-m", "codegen", "convert", str(HERE / "voice.keras")]
    options = ["-o", str(header), "--name", "voice"]
    subprocess.run([*command, *options], check=True, capture_output=True, cwd=ROOT)
    return header


def main() -> None:
    """Measure and write, or time."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--time", action="store_true")
    parser.add_argument("--recordings", type=Path)
    parser.add_argument("--seed", type=int)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if arguments.recordings:
            print(areas(build("voice.h", folder), recorded(arguments.recordings)))
            return
        if arguments.seed is not None:
            made = scenes_of_test(HERE / "speech.npz", arguments.seed)
            print(areas(build("voice.h", folder), made))
            return
        if arguments.time:
            made = scenes_of_test(HERE / "speech.npz")
            for header in (*FILES.values(), str(host(folder))):
                each = timed(build(header, folder), made)
                print(f"{Path(header).name:15} {each:.1f} us for each 10 ms")
            return
        results = measured(folder)
    (HERE / "results.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    (HERE / "curve.svg").write_text(picture.draw(results), encoding="utf-8")
    readme = HERE / "README.md"
    readme.write_text(page(readme.read_text(encoding="utf-8"), results), encoding="utf-8")
    print(tables(results))
    print(results["onsets"], {name: one["board"] for name, one in results["files"].items()})


if __name__ == "__main__":
    main()
