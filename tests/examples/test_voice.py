"""examples/voice: the features in C, the accuracy of the generated files, and the program."""

from __future__ import annotations

import json
import subprocess
import wave
from pathlib import Path

import numpy as np
import pytest

from tests.support.compilers import WARNINGS
from tests.support.examples import modules

FOLDER = Path(__file__).parents[2] / "examples" / "voice"
MODULES = ("mel", "scenes", "picture", "measure", "speech")
FEATURES = """\
#include <stdio.h>
#include "mel.h"
int main(void)
{
    static mel_state mel;
    int16_t pcm[MEL_HOP];
    float bands[MEL_BANDS];
    mel_init(&mel);
    while (fread(pcm, sizeof pcm, 1, stdin) == 1) {
        mel_step(&mel, pcm, bands);
        fwrite(bands, sizeof bands, 1, stdout);
    }
    return 0;
}
"""


VOICE = modules(FOLDER, *MODULES)
MEL, SCENES, MEASURE = VOICE["mel"], VOICE["scenes"], VOICE["measure"]
RESULTS = json.loads((FOLDER / "results.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def made() -> list:
    return SCENES.scenes_of_test(FOLDER / "speech.npz")


@pytest.fixture(scope="module")
def detect(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return MEASURE.build("voice.h", tmp_path_factory.mktemp("detect"))


def close(found: object, wanted: object, path: str = "") -> None:
    """Results equal to rounding; where another compiler counts, to 3 %."""
    if isinstance(wanted, dict):
        assert isinstance(found, dict)
        assert found.keys() == wanted.keys(), path
        for key in wanted:
            close(found[key], wanted[key], f"{path}/{key}")
    elif "/board/" in path:
        assert found == pytest.approx(wanted, rel=0.03), path
    elif "/curves/" in path:
        assert len(found) == pytest.approx(len(wanted), abs=3), path
    else:
        # five thousandths of a share: some hops of each ratio may fall to the other side
        assert found == pytest.approx(wanted, rel=0.01, abs=0.005), path


def test_features_in_c_are_those_of_numpy(made: list, tmp_path: Path) -> None:
    source, program = tmp_path / "features.c", tmp_path / "features"
    source.write_text(FEATURES, encoding="utf-8")
    flags = ["-std=c99", "-O2", *WARNINGS, f"-I{FOLDER}"]
    subprocess.run(["gcc", *flags, source, "-o", program, "-lm"], check=True)
    rng = np.random.default_rng(1)
    tone = 32767 * np.sin(np.arange(16000) * 0.3)
    sounds = [
        *((one.pcm, 1e-4) for one in made[::5]),
        (rng.normal(0, 2, 16000).round().astype(np.int16), 1e-4),
        (np.zeros(1600, np.int16), 0),
        # beside a pure tone of full scale bands are empty down to the rounding of float32
        (tone.astype(np.int16), 1e-2),
    ]
    for pcm, tolerance in sounds:
        sound = pcm.astype("<i2").tobytes()
        out = subprocess.run([program], input=sound, stdout=subprocess.PIPE, check=True).stdout
        wanted = MEL.bands(pcm)
        assert len(wanted) == len(pcm) // 160
        assert np.abs(np.frombuffer(out, "<f4").reshape(-1, 24) - wanted).max() <= tolerance


def test_features_are_c_plus_plus_too(tmp_path: Path) -> None:
    source = tmp_path / "features.cpp"
    source.write_text(FEATURES, encoding="utf-8")
    flags = ["-std=c++17", *WARNINGS, f"-I{FOLDER}", "-fsyntax-only"]
    subprocess.run(["g++", *flags, source], check=True)


def test_the_test_has_nothing_of_the_training() -> None:
    speech = VOICE["speech"]
    languages, voices, texts = zip(*speech.TEST_VOICES, strict=True)
    assert not set(languages) & set(speech.TRAIN_TEXTS)
    assert not set(voices) & set(speech.TRAIN_VOICES)
    assert not set(texts) & {text for every in speech.TRAIN_TEXTS.values() for text in every}
    assert not set(SCENES.TEST_NOISES) & set(SCENES.TRAIN_NOISES)
    assert not set(SCENES.TEST_SNR) & set(SCENES.TRAIN_SNR)


@pytest.mark.emulator
def test_the_generated_files_reach_what_the_page_says(tmp_path: Path) -> None:
    close(MEASURE.measured(tmp_path), RESULTS)
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert MEASURE.page(page, RESULTS) == page, "python measure.py"
    assert VOICE["picture"].draw(RESULTS) == (FOLDER / "curve.svg").read_text(encoding="utf-8")


def test_the_prose_says_what_was_measured() -> None:
    page = " ".join((FOLDER / "README.md").read_text(encoding="utf-8").replace("**", "").split())
    int8, onsets = RESULTS["files"]["int8"], RESULTS["onsets"]
    board, by_noise = int8["board"], RESULTS["files"]["float"]["noise"]
    flash, instructions = board["flash"], board["instructions"]
    ram, total = {**board["ram"], "stack": board["stack"]}, sum(instructions.values())
    said = [
        f"area under its detection curve is {int8['area']:.2f}",
        f"a level above a noise floor is {RESULTS['energy']['area']:.2f}",
        f"voices (area {by_noise['babble']['area']:.2f})",
        f"fan ({by_noise['fan']['area']:.2f})",
        f"takes {sum(flash.values()) / 1000:.0f} KB of flash",
        f"{sum(ram.values()) / 1000:.0f} KB of RAM",
        f"{round(total, -3):,} instructions",
        f"take {flash['features'] / 1000:.1f} KB of flash",
        f"{ram['features'] / 1000:.1f} KB of RAM",
        f"{round(instructions['features'], -2):,} of the instructions",
        f"busy for {MEASURE.busy(total, 64):.0f} % of the time",
        f"120 MHz for {MEASURE.busy(total, 120):.0f} %",
        f"{onsets['median']:.0f} ms in half of the cases",
        f"{onsets['nine_in_ten']:.0f} ms in nine of ten",
        f"{100 * RESULTS['speech']:.0f} % of it is speech",
    ]
    assert [text for text in said if text not in page] == []


def test_detect_finds_the_talkers_in_a_wav_file(made: list, detect: Path, tmp_path: Path) -> None:
    one = next(s for s in made if s.noise == "silence")
    path = tmp_path / "talk.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, MEL.RATE, 0, "NONE", ""))
        file.writeframes(one.pcm.astype("<i2").tobytes())
    said = subprocess.run([detect, path], stdout=subprocess.PIPE, text=True, check=True).stdout
    found = np.array([line.split() for line in said.splitlines()], float)
    np.testing.assert_allclose(found, SCENES.stretches(one.speech), atol=0.1)

    # the same samples without a head, and between chunks that the program passes over
    sound = path.read_bytes()
    piped = subprocess.run([detect], input=sound[44:], stdout=subprocess.PIPE, check=True).stdout
    assert piped.decode() == said
    loud = b"LIST\x00\x7d\0\0" + np.random.default_rng(0).bytes(32000)
    path.write_bytes(sound[:12] + b"LIST\x03\0\0\0odd\0" + sound[12:] + loud)
    assert subprocess.run([detect, path], stdout=subprocess.PIPE, check=True).stdout == piped

    # certain of nothing, it says nothing
    command = [detect, "-t", "1.1", path]
    assert subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout == b""


@pytest.mark.parametrize(
    ("channels", "width", "rate"), [(2, 2, 16000), (1, 1, 16000), (1, 2, 44100)]
)
def test_detect_refuses_other_sounds(
    channels: int, width: int, rate: int, detect: Path, tmp_path: Path
) -> None:
    path = tmp_path / "other.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((channels, width, rate, 0, "NONE", ""))
        file.writeframes(bytes(6400))
    done = subprocess.run([detect, path], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "no WAV file of 16 kHz, 16 bits, one channel" in done.stderr


def test_detect_says_how_it_is_called(detect: Path) -> None:
    for arguments in (["-x"], ["-t"], ["a.wav", "b.wav"]):
        done = subprocess.run([detect, *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert done.stderr.startswith("usage: detect")


def test_training_says_what_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SystemExit, match=r"espeak-ng is missing.*apt-get install espeak-ng"):
        VOICE["speech"].need_synthesiser()
