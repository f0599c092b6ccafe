"""The example of an amplifier: its figures, its program on sound files, its plug-in in a host."""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from scipy.integrate import solve_ivp

import codegen
from codegen.commands.main import main
from codegen.lowered import Reference
from codegen.lowering import lower
from tests.support import emulators, targets
from tests.support.browser import reported, serving
from tests.support.compilers import WARNINGS
from tests.support.examples import modules

EXAMPLE = Path(__file__).parents[2] / "examples" / "amplifier"
PAGE = EXAMPLE / "README.md"
Array = np.ndarray[Any, Any]


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both programs and the plug-in, built without a warning."""
    path = tmp_path_factory.mktemp("amplifier")
    command = ["make", "-C", EXAMPLE, "all", "plugin", f"BUILD={path}"]
    command.append(f"CFLAGS=-O2 {' '.join(WARNINGS)}")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return path


@pytest.fixture(scope="module")
def measure() -> Any:
    """The module of the example that measures and draws."""
    return modules(EXAMPLE, "measure")["measure"]


def figures() -> dict[str, list[float]]:
    """The tables of the page: the numbers of each row by what stands in its first cell."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    rows = [line.strip("| ").split(" | ") for line in lines if line.startswith("| ")]
    return {
        row[0]: [float(cell.replace(",", "")) for cell in row[1:] if re.fullmatch(r"[\d.,]+", cell)]
        for row in rows
    }


# ---- the simulation -----------------------------------------------------------------------------


def circuit(t: float, volts: Array, sine: Any) -> Array:
    """The stage again as differential equations: volts across its capacitors, in V/s."""
    first, grid, cathode, plate, last = volts
    coupled, out = sine(t) - first, plate - last
    over, drop = grid - cathode, plate - cathode
    inner = drop / 600 * np.logaddexp(0, 600 * (1 / 100 + over / np.sqrt(300 + drop**2)))
    to_plate, to_grid = 2 * inner**1.4 / 1060, 0.1 * np.logaddexp(0, over / 0.1) / 2e3
    stopper = (coupled - grid) / 68e3
    return np.array(
        [
            (coupled / 470e3 + stopper) / 10e-9,
            (stopper - to_grid) / 120e-12,
            (to_plate + to_grid - cathode / 2.7e3) / 680e-9,
            ((300 - plate) / 100e3 - to_plate - out / 470e3) / 220e-12,
            out / 470e3 / 22e-9,
        ]
    )


@pytest.mark.parametrize("loud", [0.02, 0.8])
def test_the_circuit_is_simulated(loud: float, build: Path, measure: Any) -> None:
    """Against a solver of stiff equations, which knows no sample rate."""
    rate, seconds = 48_000, 0.02

    def burst(t: Any) -> Any:
        return loud * np.sin(np.pi * t / seconds) ** 2 * np.sin(2 * np.pi * 400 * t)

    times = np.arange(round(seconds * rate)) / rate
    options: dict[str, Any] = {"method": "LSODA", "rtol": 1e-8, "atol": 1e-9}
    start = solve_ivp(circuit, (-1, 0), [0, 0, 2, 200, 200], args=(lambda _: 0,), **options).y[
        :, -1
    ]
    exact = solve_ivp(
        circuit, (0, times[-1]), start, t_eval=times, args=(lambda t: 10 * burst(t),),
        max_step=1e-5, **options,
    ).y  # fmt: skip
    found = measure.sounds.through(build / "tube", burst(times), rate)
    # The program leaves out what is above 20 kHz.
    np.testing.assert_allclose(found, (exact[4] - exact[3]) / 150, atol=1e-3 * loud)


# ---- figures ------------------------------------------------------------------------------------


def test_errors_are_what_the_page_says(build: Path, measure: Any) -> None:
    stated = figures()
    found = measure.errors(build)
    assert found
    for name, value in found.items():
        assert stated[name][0] == pytest.approx(value, abs=2e-5 if value < 0.01 else 2e-4), name


def test_the_picture_is_what_is_drawn(build: Path, measure: Any, tmp_path: Path) -> None:
    """But for what rounding does to the last digits."""
    measure.draw(build, tmp_path / "picture.svg")
    number = re.compile(r"-?\d+\.\d+")
    drawn, committed = (
        (folder / "picture.svg").read_text(encoding="utf-8") for folder in (tmp_path, EXAMPLE)
    )
    assert number.sub("", drawn) == number.sub("", committed)
    pairs = zip(number.findall(drawn), number.findall(committed), strict=True)
    assert max(abs(float(a) - float(b)) for a, b in pairs) < 0.5


def on_a_cortex_m7(row: str, path: Path, request: pytest.FixtureRequest) -> None:
    """A row of the last table: bytes of weights, RAM and code, instructions of a sample."""
    header = path.read_text(encoding="utf-8")
    x = np.sin(np.arange(8) / 7)
    run = emulators.run_model("m7", header, path.stem, x, folder=path.parent)
    code = emulators.measure("m7", header, path.stem, path.parent).text
    sizes = re.search(r"weights (\d+), state (\d+), scratch (\d+)", header)
    assert sizes is not None
    found = [int(sizes[1]), int(sizes[2]) + int(sizes[3]), code, run.instructions]
    if request.config.getoption("--update-golden"):
        cells = " | ".join(f"{number:,}" for number in found)
        text = re.sub(rf"(?m)^\| {row} \|.*$", f"| {row} | {cells} |", PAGE.read_text("utf-8"))
        PAGE.write_text(text, encoding="utf-8")
    assert figures()[row] == pytest.approx(found, rel=0.02), found


@pytest.mark.emulator
@pytest.mark.parametrize("ratio", [[], ["--rate-ratio", "48000/44100"]])
def test_sizes_and_instructions_are_what_the_page_says(
    ratio: list[str], request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    out = tmp_path / ("amp48.h" if ratio else "amp.h")
    words = ["convert", str(EXAMPLE / "amp.json"), "-o", str(out), "--profile", "mcu", *ratio]
    assert CliRunner().invoke(main, [*words, "--prewarm", "1024"]).exit_code == 0
    on_a_cortex_m7(out.name, out, request)


@pytest.mark.emulator
def test_integers_are_as_far_off_as_the_page_says(
    build: Path, measure: Any, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """The same program with other headers, made with a loud chord for calibration."""
    sounds, folder = measure.sounds, tmp_path / "amplifier"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("build"))
    loud = 0.9 * sounds.chord([0, 7, 12, 19], 0.05, 44_100)
    np.savez(folder / "loud.npz", loud[:, None].astype(np.float32))
    options = ["--profile", "mcu", "--prewarm", "1024", "--quantize", "int16"]
    options += ["--calibration", str(folder / "loud.npz")]
    for name, ratio in (("amp.h", "1"), ("amp48.h", "48000/44100")):
        words = ["convert", str(folder / "amp.json"), "-o", str(folder / name), *options]
        result = CliRunner().invoke(main, [*words, "--rate-ratio", ratio])
        assert result.exit_code == 0, result.output
    subprocess.run(["make", "-s", "-C", folder, "build/amplifier"], check=True)
    programs = (folder / "build" / "amplifier", build / "tube")
    for name, rate in (("int16 at 44.1 kHz", 44_100), ("int16 at 48 kHz", 48_000)):
        x = sounds.phrase(rate)
        made = (sounds.through(program, x, rate) for program in programs)
        assert figures()[name][0] == pytest.approx(sounds.esr(*made), abs=2e-5)
    on_a_cortex_m7("amp.h, int16", folder / "amp.h", request)


def test_the_first_lines_say_what_the_tables_say() -> None:
    bold = re.search(r"\*\*(.*?)\*\*", PAGE.read_text("utf-8"), flags=re.DOTALL)
    assert bold is not None
    low, rate, *rest = (float(number) for number in re.findall(r"\d+(?:\.\d+)?", bold[1]))
    assert rate == 48
    stated = figures()
    errors = ["amp.h at 44.1 kHz", "amp48.h at 48 kHz", "filter, curve, filter at 44.1 kHz"]
    expected = [100 * stated[name][0] for name in errors]
    expected += [bytes_ / 1000 for bytes_ in stated["amp.h"][:2]]
    speed, simulation = stated["amplifier"][0], stated["tube"][0]
    expected += [speed, speed / simulation]
    assert [low, *rest] == pytest.approx(expected, rel=0.05)


# ---- the program --------------------------------------------------------------------------------


def run(program: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [str(program), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def wav(samples: Array, rate: int, bits: int) -> bytes:
    """A file of integers, (frames, channels), with a chunk that players pass over."""
    channels = samples.shape[1]
    wide = np.round(samples * (2.0 ** (bits - 1) - 1)).astype("<i4") << (32 - bits)
    data = wide.reshape(-1, 1).view("u1")[:, 4 - bits // 8 :].tobytes()
    about = (1, channels, rate, rate * channels * bits // 8, channels * bits // 8, bits)
    body = b"LIST" + struct.pack("<I", 3) + b"abc\0"
    body += struct.pack("<4sIHHIIHH", b"fmt ", 16, *about)
    body += struct.pack("<4sI", b"data", len(data)) + data
    return struct.pack("<4sI4s", b"RIFF", 4 + len(body), b"WAVE") + body


@pytest.mark.parametrize(("rate", "ratio"), [(44_100, 1.0), (48_000, 48_000 / 44_100)])
def test_the_program_plays_files(
    rate: int, ratio: float, build: Path, measure: Any, tmp_path: Path
) -> None:
    """Of whole numbers, each channel by itself, louder by the drive."""
    x = np.random.default_rng(rate).uniform(-0.5, 0.5, (300, 2))
    lowered = lower(codegen.read(EXAMPLE / "amp.json", prewarm=1024, rate_ratio=ratio))
    model = targets.started("numpy", lowered, tmp_path)
    expected = [model.predict(10 ** (6 / 20) * x[:, [n]].astype(np.float32))[0] for n in (0, 1)]
    given, made = tmp_path / "given.wav", tmp_path / "made.wav"
    for bits in (16, 24, 32):
        given.write_bytes(wav(x, rate, bits))
        done = run(build / "amplifier", given, made, 6)
        assert done.returncode == 0, done.stderr
        assert re.fullmatch(r"0\.01 s of sound in [\d.]+ s: .* times real time\n", done.stdout)
        found = measure.sounds.read(made).reshape(-1, 2)
        # 16 bits are 3e-5 coarse, and the amplifier makes that some 40 times as large.
        np.testing.assert_allclose(found, np.hstack(expected), atol=2e-3 if bits == 16 else 2e-5)


UNPLAYABLE = {
    "empty": (b"", "no WAV file"),
    "without chunks": (b"RIFF\0\0\0\0WAVE", "no samples"),
    "of another rate": (wav(np.zeros((3, 1)), 96_000, 16), "neither 44.1 nor 48 kHz"),
    "of 8 bits": (wav(np.zeros((3, 1)), 44_100, 8), "neither 16, 24 or 32 bits nor floats of 32"),
    "without channels": (wav(np.zeros((3, 0)), 44_100, 16), "no channel"),
    "of an absurd rate": (wav(np.zeros((3, 1)), 1 << 30, 16), "above 768 kHz"),
    "cut": (wav(np.zeros((3, 1)), 44_100, 16)[:30], "no samples"),
}


@pytest.mark.parametrize("file", UNPLAYABLE)
def test_files_that_it_cannot_play_are_told(file: str, build: Path, tmp_path: Path) -> None:
    data, said = UNPLAYABLE[file]
    given = tmp_path / "given.wav"
    given.write_bytes(data)
    done = run(build / "amplifier", given, tmp_path / "made.wav")
    assert done.returncode == 1
    assert said in done.stderr
    assert not (tmp_path / "made.wav").exists()


@pytest.mark.parametrize("drive", ["loud", "6 dB", "nan", "1000", "1e99"])
def test_a_drive_that_is_none_is_told(drive: str, build: Path, tmp_path: Path) -> None:
    done = run(build / "amplifier", tmp_path / "given.wav", tmp_path / "made.wav", drive)
    assert done.returncode == 2
    assert done.stderr.startswith("usage: amplifier")


def test_every_cut_of_a_file_is_read_safely(tmp_path: Path) -> None:
    """With the sanitizers of the compiler, at every length."""
    program = tmp_path / "amplifier"
    command = ["gcc", "-std=c99", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover"]
    subprocess.run([*command, "-o", program, EXAMPLE / "amplifier.c", "-lm"], check=True)
    whole = wav(np.full((4, 2), 0.25), 48_000, 24)
    for length in range(len(whole) + 1):
        (tmp_path / "given.wav").write_bytes(whole[:length])
        done = run(program, tmp_path / "given.wav", tmp_path / "made.wav")
        assert done.returncode in {0, 1}, done.stderr
        assert not re.search("Sanitizer|runtime error", done.stderr), done.stderr


# ---- the plug-in --------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [44_100, 48_000])
def test_a_host_hears_what_the_program_computes(
    rate: int, build: Path, measure: Any, tmp_path: Path
) -> None:
    sounds = measure.sounds
    given, made = tmp_path / "given.wav", tmp_path / "made.wav"
    sounds.write(given, sounds.phrase(rate)[: rate // 2], rate)
    path = os.pathsep.join([str(build), "/usr/lib/lv2"])
    command = ["lv2apply", "-i", given, "-o", made, "urn:rnn-codegen:amp"]
    subprocess.run(command, check=True, env={**os.environ, "LV2_PATH": path})
    found = sounds.read(made)
    expected = sounds.through(build / "amplifier", sounds.read(given), rate)
    assert np.max(np.abs(found)) > 0.3
    np.testing.assert_allclose(found, expected, atol=1e-6)


class Descriptor(ctypes.Structure):
    """LV2_Descriptor."""

    _fields_ = (
        ("uri", ctypes.c_char_p),
        ("instantiate", ctypes.CFUNCTYPE(
            ctypes.c_void_p, ctypes.c_void_p, ctypes.c_double, ctypes.c_char_p, ctypes.c_void_p
        )),
        ("connect_port", ctypes.CFUNCTYPE(
            None, ctypes.c_void_p, ctypes.c_uint32, ctypes.c_void_p
        )),
        ("activate", ctypes.CFUNCTYPE(None, ctypes.c_void_p)),
        ("run", ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_uint32)),
        ("deactivate", ctypes.c_void_p),
        ("cleanup", ctypes.CFUNCTYPE(None, ctypes.c_void_p)),
        ("extension_data", ctypes.c_void_p),
    )  # fmt: skip


def test_blocks_buffers_and_rates_of_a_host(build: Path) -> None:
    library = ctypes.CDLL(str(build / "amp.lv2" / "amp.so"))
    library.lv2_descriptor.restype = ctypes.POINTER(Descriptor)
    assert not library.lv2_descriptor(1)
    amp = library.lv2_descriptor(0).contents
    assert amp.uri == b"urn:rnn-codegen:amp"
    assert amp.instantiate(None, 96_000.0, b"", None) is None  # another amplifier there

    def played(cuts: list[int], decibels: float) -> Array:
        """One sound in blocks, in and out in one buffer."""
        sound = np.sin(np.arange(200) / 9).astype(np.float32)
        drive = ctypes.c_float(decibels)
        amp.activate(instance)
        amp.connect_port(instance, 2, ctypes.addressof(drive))
        for start, stop in zip([0, *cuts], [*cuts, len(sound)], strict=True):
            where = sound[start:].ctypes.data
            amp.connect_port(instance, 0, where)
            amp.connect_port(instance, 1, where)
            amp.run(instance, stop - start)
        return sound

    for rate in (44_100.0, 48_000.0):
        instance = amp.instantiate(None, rate, b"", None)
        whole = played([], 0.0)
        np.testing.assert_array_equal(played([1, 64, 64, 137], 0.0), whole)
        assert np.max(np.abs(played([], -20.0))) < 0.9 * np.max(np.abs(whole))
        amp.cleanup(instance)


# ---- the page ------------------------------------------------------------------------------------

LISTENING = """
<script type="module">
  import { amplifier } from "./play.js";
  const report = (found) => fetch("/found", { method: "POST", body: JSON.stringify(found) });
  try {
    const x = Float32Array.from(SAMPLES);
    const context = new OfflineAudioContext(2, x.length / 2, 44100);
    const source = context.createBufferSource();
    source.buffer = context.createBuffer(2, x.length / 2, 44100);
    source.buffer.copyToChannel(x.subarray(0, x.length / 2), 0);
    source.buffer.copyToChannel(x.subarray(x.length / 2), 1);
    source.connect(await amplifier(context)).connect(context.destination);
    source.start();
    const played = await context.startRendering();
    const button = document.querySelector("button");
    button.click();
    while (button.textContent !== "Stop") await new Promise((done) => setTimeout(done, 10));
    button.click();
    while (button.textContent !== "Play") await new Promise((done) => setTimeout(done, 10));
    const broken = new DataTransfer();
    broken.items.add(new File(["no sound"], "broken.wav"));
    document.querySelector("#file").files = broken.files;
    button.click();
    const busy = button.disabled;
    while (button.disabled) await new Promise((done) => setTimeout(done, 10));
    const channels = [0, 1].map((channel) => [...played.getChannelData(channel)]);
    const said = document.querySelector("output").value;
    await report({ channels, busy, said, button: button.textContent });
  } catch (error) {
    await report(String(error));
  }
</script>
"""


def test_the_page_plays_the_model(tmp_path: Path) -> None:
    """Both channels, each with a state of its own, as the interpreter computes them."""
    folder = tmp_path / "page"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("build"))
    x = np.random.default_rng(3).uniform(-1, 1, (2, 1000)).astype(np.float32)
    samples = ", ".join(str(v) for v in x.ravel().tolist())
    page = (folder / "index.html").read_text(encoding="utf-8")
    (folder / "test.html").write_text(page + LISTENING.replace("SAMPLES", f"[{samples}]"))
    with serving(folder) as server:
        found = reported(server, "test.html", tmp_path / "profile")
    lowered = lower(codegen.read(EXAMPLE / "amp.json", prewarm=1024))
    expected = Reference(lowered, 2).predict(x[..., None])[0][..., 0]
    assert isinstance(found, dict), found
    assert targets.worst([np.array(found["channels"])], [expected]) < 2e-5
    assert found["said"].startswith("This cannot be played: ")
    assert (found["busy"], found["button"]) == (True, "Play")
