"""The example of an LV2 plug-in: built, run on a sound by a host, and drawn."""

from __future__ import annotations

import ctypes
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import codegen
from codegen.lowered import Reference
from codegen.lowering import lower
from tests.support import targets
from tests.support.compilers import WARNINGS

EXAMPLE = Path(__file__).parents[1] / "generated_examples" / "plugin"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle, built without a warning."""
    path = tmp_path_factory.mktemp("lv2") / "amp.lv2"
    flags = f"CFLAGS=-O2 {' '.join(WARNINGS)}"
    command = ["make", "-C", EXAMPLE, f"BUNDLE={path}", flags]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return path


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The module of the example that plays and draws."""
    monkeypatch.syspath_prepend(str(EXAMPLE))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    import play  # type: ignore[import-not-found]

    yield play
    for name in ("play", "string_sound"):
        del sys.modules[name]


def coordinates(picture: str) -> tuple[str, np.ndarray[Any, Any]]:
    """The picture without the numbers of its lines, and these."""
    number = re.compile(r"(?<=[ MLV])-?\d+\.\d")
    return number.sub("", picture), np.array(number.findall(picture), float)


def test_a_host_hears_what_the_model_computes(bundle: Path, play: Any, tmp_path: Path) -> None:
    string, amplifier = play.play(bundle)
    lowered = lower(codegen.read(EXAMPLE / "amp.json", prewarm=4800))
    assert len(string) == len(amplifier) == 24000
    assert np.max(np.abs(amplifier)) > 0.3
    x = string[:, None]
    some = Reference(lowered).predict(x[None, :2000].astype(np.float64))[0][0]
    assert targets.worst([amplifier[:2000, None]], [some]) < targets.TOLERANCE
    every = targets.started("numpy", lowered, tmp_path).predict(x)
    assert targets.worst([amplifier[:, None]], every) < targets.TOLERANCE
    # The committed picture, but for what rounding does to the last digit.
    drawn, committed = play.picture(string, amplifier), (EXAMPLE / "plugin.svg").read_text("utf-8")
    (text, numbers), (same, others) = coordinates(drawn), coordinates(committed)
    assert text == same
    np.testing.assert_allclose(numbers, others, atol=0.11)


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


def test_blocks_buffers_and_rates_of_a_host(bundle: Path) -> None:
    library = ctypes.CDLL(str(bundle / "amp.so"))
    library.lv2_descriptor.restype = ctypes.POINTER(Descriptor)
    assert not library.lv2_descriptor(1)
    amp = library.lv2_descriptor(0).contents
    assert amp.uri == b"urn:rnn-codegen:amp"
    assert amp.instantiate(None, 44100.0, b"", None) is None  # another amplifier there

    def played(cuts: list[int], decibels: float) -> np.ndarray[Any, Any]:
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

    instance = amp.instantiate(None, 48000.0, b"", None)
    whole = played([], 0.0)
    np.testing.assert_array_equal(played([1, 64, 64, 137], 0.0), whole)
    assert np.max(np.abs(played([], -12.0))) < 0.9 * np.max(np.abs(whole))
    amp.cleanup(instance)
