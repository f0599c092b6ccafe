"""A model through a file and the targets, compared with what Keras computes."""

from __future__ import annotations

import ctypes
import re
import subprocess
import tempfile
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from codegen.errors import CodegenError, ReadError, UnsupportedError
from codegen.lowered import Lowered, Reference
from codegen.lowering import lower
from codegen.readers.keras.reader import Reader
from codegen.readers.options import Options
from codegen.running.c import CRunner
from tests.layers.oracle import steps_equal_predict
from tests.random_models.build import Spec, built, inputs_of
from tests.support.targets import loaded, options, rendered

Array = npt.NDArray[Any]
Calls = list[list[Array]]
TIGHT = 3e-6  # float32 of Keras against float64, where nothing cancels
ENOUGH = 20  # times what rounding of weights and inputs alone does, where much cancels
CHAOS = 3e-6  # rounding by 2e-7 that does more than this makes what Keras computes itself unsure
TOLERANCE = 2e-5
REFUSED_LENGTH = "this number of steps is not accepted"
EXACT = 1e-6  # generated files in float64 against the interpreter: weights are float32


@dataclass(frozen=True)
class Verdict:
    """What came of a model: `what` is one of agrees, refused, keras, differs, crash.

    `keras`: it cannot run or save the model, or what it computes is not finite or only rounding.
    """

    what: str
    message: str = ""
    refused: tuple[tuple[str, str], ...] = ()  # class and message of each problem

    @property
    def failed(self) -> bool:
        return self.what in ("differs", "crash")


@dataclass
class Run:
    """A live model with inputs and what it computes, call by call."""

    model: Any
    calls: Calls
    expected: Calls

    def rounding(self) -> float:
        """What rounding alone may do to its outputs; see `rounding`."""
        return rounding(self.model, self.calls, self.expected)


class KerasCannotError(Exception):
    """Keras cannot compute or save this model."""


def reset(model: Any) -> None:
    """Every state of every layer at zero."""
    for layer in model._flatten_layers():
        if getattr(layer, "stateful", False):
            for state in keras.tree.flatten(getattr(layer, "states", None) or []):
                state.assign(np.zeros(state.shape, np.float32))


def computed(model: Any, inputs: Sequence[Array]) -> list[Array]:
    found = model(list(inputs) if len(inputs) > 1 else inputs[0], training=False)
    return [np.asarray(y).astype(np.float64) for y in keras.tree.flatten(found)]


def run(spec: Spec) -> Run:
    """The live model and its outputs; KerasCannotError where there are none."""
    try:
        model = built(spec)
        calls = [inputs_of(spec, lengths, k) for k, lengths in enumerate(spec["calls"])]
        reset(model)
        expected = [computed(model, inputs) for inputs in calls]
    except Exception as error:  # whatever Keras raises
        raise KerasCannotError(f"{type(error).__name__}: {error}"[:300]) from error
    if not all(np.isfinite(y).all() for ys in expected for y in ys):
        raise KerasCannotError("not finite")
    if not all(y.size for ys in expected for y in ys):
        raise KerasCannotError("empty")
    return Run(model, calls, expected)


def saved(model: Any, container: str, folder: Path) -> tuple[Path, Path | None]:
    """The files of a model: MODEL, and what --config takes."""
    try:
        if container == "weights":
            path, config = folder / "model.weights.h5", folder / "config.json"
            model.save_weights(path)
            config.write_text(model.to_json(), encoding="utf-8")
            return path, config
        path = folder / f"model.{container}"
        model.save(path)
    except Exception as error:  # whatever Keras raises
        raise KerasCannotError(f"saving: {type(error).__name__}: {error}"[:300]) from error
    return path, None


def judged(spec: Spec, targets: Sequence[str] = (), pool: CPool | None = None) -> Verdict:
    """Compare the model of a description, in the interpreter and in the named targets."""
    with tempfile.TemporaryDirectory() as name, np.errstate(all="ignore"):
        folder = Path(name)
        try:
            live = run(spec)
            source, config = saved(live.model, spec["container"], folder)
        except KerasCannotError as error:
            return Verdict("keras", str(error))
        try:
            lowered = lower(Reader(source, config, Options(config)).model())
        except UnsupportedError as error:
            return Verdict(
                "refused", str(error), tuple((p.class_name, p.message) for p in error.problems)
            )
        except ReadError as error:
            return Verdict("refused", str(error), (("the file", str(error)),))
        except Exception:  # noqa: BLE001  # that is what is looked for
            return Verdict("crash", traceback.format_exc(limit=-4))
        verdict = against_interpreter(spec, live, lowered)
        if verdict.what in ("refused", "keras"):
            return verdict
        if verdict.failed:
            return verdict if reloads(live, source, config) else Verdict("keras", "loads another")
        for target in targets:
            verdict = against_target(live, lowered, target, folder)
            if verdict.failed:
                return verdict
        if pool is not None:
            pool.add(spec, live, lowered)
        return Verdict("agrees", "step" if lowered.step is not None else "")


def reloads(live: Run, source: Path, config: Path | None) -> bool:
    """Whether Keras itself loads from the file what was saved to it."""
    try:
        if config is None:
            model = keras.models.load_model(source, compile=False)
        else:
            model = keras.models.model_from_json(config.read_text(encoding="utf-8"))
            model.load_weights(source)
        reset(model)
        again = [computed(model, inputs) for inputs in live.calls]
    except Exception:  # noqa: BLE001  # whatever Keras raises
        return False
    return all(
        far(x, y) <= TOLERANCE
        for xs, ys in zip(again, live.expected, strict=True)
        for x, y in zip(xs, ys, strict=True)
    )


def far(found: Array, wanted: Array) -> float:
    """The largest |found - wanted| / (1 + |wanted|); infinite where shapes differ."""
    if found.shape != wanted.shape:
        return np.inf
    if not found.size:
        return 0.0
    error = np.abs(found - wanted) / (1 + np.abs(wanted))
    return float(np.max(error)) if np.isfinite(error).all() else np.inf


def farthest(found: Sequence[Sequence[Array]], wanted: Sequence[Sequence[Array]]) -> float:
    return max(
        far(np.asarray(y, np.float64), np.asarray(e, np.float64))
        for ys, es in zip(found, wanted, strict=True)
        for y, e in zip(ys, es, strict=True)
    )


def rounding(model: Any, calls: Calls, expected: Calls) -> float:
    """How far the outputs move where weights and inputs do by their last bit or two.

    Some models make much of little: products of products, differences of nearly equal numbers.
    """
    rng = np.random.default_rng(0)

    def moved(x: Array) -> Array:
        noise = rng.choice([-2e-7, 2e-7], x.shape)
        return (x * (1 + noise)).astype(x.dtype) if x.dtype == np.float32 else x

    before = [np.array(w) for w in model.weights]
    worst = 0.0
    for _ in range(3):
        reset(model)
        for weight, value in zip(model.weights, before, strict=True):
            weight.assign(moved(value))
        again = [computed(model, [moved(x) for x in inputs]) for inputs in calls]
        worst = max(worst, farthest(again, expected))
    for weight, value in zip(model.weights, before, strict=True):
        weight.assign(value)
    return worst


def shapes_of(arrays: Sequence[Sequence[Array]]) -> list[list[tuple[int, ...]]]:
    return [[np.asarray(y).shape for y in ys] for ys in arrays]


def against_interpreter(spec: Spec, live: Run, lowered: Lowered) -> Verdict:
    """Predict call by call; then steps against predict."""
    try:
        reference = Reference(lowered, spec["batch"])
        found = [list(reference.predict(*inputs)) for inputs in live.calls]
        if shapes_of(found) != shapes_of(live.expected):
            return Verdict(
                "differs", f"shapes {shapes_of(found)}, Keras has {shapes_of(live.expected)}"
            )
        error = farthest(found, live.expected)
        if error > TIGHT and error > ENOUGH * (own := live.rounding()):
            if own > CHAOS:
                return Verdict("keras", "rounding decides")
            return Verdict("differs", f"interpreter, by {error:.2g}, rounding {own:.2g}")
    except ValueError as error:
        if REFUSED_LENGTH in str(error):  # lengths meet for other numbers of steps alone
            return Verdict("refused", str(error), (("the model", "this number of steps"),))
        return Verdict("crash", traceback.format_exc(limit=-4))
    except Exception:  # noqa: BLE001  # that is what is looked for
        return Verdict("crash", traceback.format_exc(limit=-4))
    if lowered.step is not None:
        try:
            reference = Reference(lowered, spec["batch"])
            first = reference.predict(*live.calls[0])
            steps_equal_predict(lowered, live.calls[0], first, reference.get_state())
        except AssertionError as error:
            if "no step gave anything" not in str(error):
                return Verdict("differs", f"steps: {error}"[:400])
        except Exception:  # noqa: BLE001
            return Verdict("crash", traceback.format_exc(limit=-4))
    return Verdict("agrees")


def against_target(live: Run, lowered: Lowered, target: str, folder: Path) -> Verdict:
    """A generated file in float64, which leaves rounding out of the comparison."""
    try:
        text = rendered(lowered, target, dtype="float64")
        runner = loaded(target, text, lowered, folder, dtype="float64")
        return against_runner(runner, live, lowered, target)
    except CodegenError as error:
        return Verdict("crash", f"{target}: {error}"[:1000])
    except Exception:  # noqa: BLE001  # that is what is looked for
        return Verdict("crash", f"{target}: {traceback.format_exc(limit=-4)}")


def against_runner(runner: Any, live: Run, lowered: Lowered, target: str) -> Verdict:
    """The generated model in float64 against the interpreter, sample by sample."""
    reference = Reference(lowered, len(live.calls[0][0]))
    wanted = [list(reference.predict(*inputs)) for inputs in live.calls]
    for row in range(len(live.calls[0][0])):
        runner.reset()
        for inputs, ys in zip(live.calls, wanted, strict=True):
            try:
                found = list(runner.predict(*(np.asarray(x[row]) for x in inputs)))
            except ValueError as error:
                # A header that steps takes whole hops, to need no memory for the rest.
                if target == "c" and lowered.hop > 1 and REFUSED_LENGTH in str(error):
                    break
                raise
            error = farthest([found], [[y[row] for y in ys]])
            if error > EXACT:
                return Verdict("differs", f"{target}, by {error:.2g}")
    return Verdict("agrees")


# ---- C -----------------------------------------------------------------------------------------


class Compiled(CRunner):
    """One model of a library that holds several."""

    def __init__(self, library: ctypes.CDLL, name: str, lowered: Lowered) -> None:
        self.lowered, self.name, self.real, self.library = lowered, name, np.float64, library
        create = getattr(library, f"{name}_new")
        create.restype = ctypes.c_void_p
        self.state = ctypes.c_void_p(create())
        self.sizes = []
        self.reset()


class CPool:
    """Headers that are compiled together, since starting a compiler costs more than they do."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Spec, Run, Lowered, str]] = []
        self.failed: list[tuple[Spec, Verdict]] = []

    def add(self, spec: Spec, live: Run, lowered: Lowered) -> None:
        """Keep the header of a model."""
        name = f"m{len(self.waiting)}"
        try:
            steps = options("c", lowered, live.calls)
            text = rendered(lowered, "c", dtype="float64", **steps)
        except Exception:  # noqa: BLE001  # that is what is looked for
            self.failed.append((spec, Verdict("crash", f"c: {traceback.format_exc(limit=-4)}")))
            return
        self.waiting.append((spec, live, lowered, renamed(text, name)))

    def judged(self) -> list[tuple[Spec, Verdict]]:
        """Compile and compare what is kept; the failures."""
        found, self.failed = self.failed, []
        waiting, self.waiting = self.waiting, []
        if not waiting:
            return found
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            parts = []
            for number, (*_, text) in enumerate(waiting):
                (folder / f"m{number}.h").write_text(text, encoding="utf-8")
                parts.append(f'#define M{number}_IMPLEMENTATION\n#include "m{number}.h"\n')
                parts.append(f"void *m{number}_new(void);\n")
                parts.append(
                    f"void *m{number}_new(void) {{ return calloc(1, sizeof(m{number}_state)); }}\n"
                )
            (folder / "all.c").write_text(
                "#include <stdlib.h>\n" + "".join(parts), encoding="utf-8"
            )
            command = ["gcc", "-std=c99", "-O0", "-shared", "-fPIC", "-o", str(folder / "all.so")]
            command += [str(folder / "all.c"), "-lm"]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                at = re.search(r"m(\d+)\.h:\d+:\d+: error.*", done.stderr)
                number = int(at[1]) if at else 0
                return [*found, (waiting[number][0], Verdict("crash", f"c: {done.stderr[:600]}"))]
            library = ctypes.CDLL(str(folder / "all.so"))
            for number, (spec, live, lowered, _) in enumerate(waiting):
                try:
                    runner = Compiled(library, f"m{number}", lowered)
                    verdict = against_runner(runner, live, lowered, "c")
                except Exception:  # noqa: BLE001
                    verdict = Verdict("crash", f"c: {traceback.format_exc(limit=-4)}")
                if verdict.failed:
                    found.append((spec, verdict))
        return found


def renamed(text: str, name: str) -> str:
    """The header of the model `model` with another name."""
    return re.sub(r"\bMODEL_", f"{name.upper()}_", re.sub(r"\bmodel_", f"{name}_", text))
