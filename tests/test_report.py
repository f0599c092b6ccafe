"""report: the page of a model and its files, as text, as numbers, and as a browser shows it."""

from __future__ import annotations

import builtins
import json
import os
import re
import shutil
import subprocess
import sys
import unicodedata
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import keras
import keras.layers as kl
import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

import codegen
from benchmarks import run_cores
from codegen.commands.against_keras import layer_output, top_layers
from codegen.commands.main import main
from codegen.commands.pairs import Interpreted
from codegen.commands.report import graph, plots
from codegen.commands.report.cores import CORES, PRICES, estimates
from codegen.commands.report.measured import File, measure
from codegen.commands.report.observed import layer_values
from codegen.commands.report.page import Wanted, noise, page
from codegen.commands.report.source import recurrent_layers
from codegen.commands.report.work import work
from codegen.commands.verify import samples
from codegen.lowered import Lowered, Reference
from codegen.lowering import lower
from codegen.text.templates import source
from tests.layers.oracle import lowered, randomised
from tests.onnx.test_structures import gtcrn
from tests.support import emulators
from tests.support.browser import reported, screenshot, serving
from tests.support.fixtures import FIXTURES

EXAMPLES = Path(__file__).parents[1] / "generated_examples"
SEED = EXAMPLES / "seed" / "seed.h5"
AMPLIFIER = EXAMPLES.parent / "examples" / "amplifier" / "amp.json"
VOID = ("meta", "br", "link", "img", "input", "hr")
HOSTILE = (
    "</style><script>alert(1)</script>'\"&amp;<img src=http://x.test/y onerror=alert(1)>\u202e"
)


def run(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def made(folder: Path, model: Path, out: str, *options: str) -> Path:
    beside = folder / model.name
    if not beside.exists():
        shutil.copy(model, beside)
    found = run("convert", beside, "-o", folder / out, *options)
    assert found.exit_code == 0, found.output
    return folder / out


def page_of(low: Lowered, steps: int = 12) -> str:
    return "".join(page(Wanted(low, samples(low, steps), noise(low, steps), (), steps)))


class Checked(HTMLParser):
    """The elements of a page, with what is wrong in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        self.close()
        self.wrong += [f"open: {tag}" for tag in self.open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.elements.append((tag, found))
        if tag in ("script", "img", "iframe", "object", "link"):
            self.wrong.append(tag)
        for name, value in found.items():
            outside = name in ("src", "href", "xlink:href") and not (value or "").startswith("#")
            if outside or name.startswith("on"):
                self.wrong.append(f"{tag} {name}={value}")
        if tag == "svg" and not (found.get("role") == "img" and found.get("aria-label")):
            self.wrong.append("svg without a text")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(f"closed: {tag}")
        self.text += " " if tag in ("td", "th") else ""

    def handle_data(self, data: str) -> None:
        self.text += data


def two_inputs() -> keras.Model:
    a, b = keras.Input((12, 3), name="sensor"), keras.Input((5,), name="context")
    x = kl.Bidirectional(kl.LSTM(4, return_sequences=True), name="both_ways")(a)
    attended = kl.Attention(name="attention")([kl.Dense(8, "tanh", name="query")(x), x])
    joined = kl.Concatenate(name="joined")([kl.GlobalAveragePooling1D()(attended), b])
    outputs = [kl.Dense(3, "softmax", name="class")(joined), kl.Dense(1, name="value")(joined)]
    return keras.Model([a, b], outputs, name="two_inputs")


def with_states(folder: Path) -> Lowered:
    """An ONNX graph whose recurrent layer takes its state from an input."""
    states = {"cache": "cache_out", "inter": "inter_out"}
    return lower(codegen.read(gtcrn(folder), states=states))


def kinds() -> Iterator[tuple[str, Any]]:
    """A model of every kind: a path, or options of `read`, or a live model."""
    yield "several inputs, no step", two_inputs
    yield "free length, no step", EXAMPLES / "bidirectional" / "bidirectional.keras"
    yield "integers", EXAMPLES / "tokens" / "tokens.keras"
    yield "delay line", EXAMPLES / "causal_conv" / "causal_conv.keras"
    yield "audio", AMPLIFIER
    yield "PyTorch", FIXTURES / "torch" / "torch113" / "gru_stacked" / "weights.pt"
    yield "ONNX", with_states
    yield "weights alone", EXAMPLES / "weights_only" / "weights.h5"
    yield "no time axis", lambda: keras.Sequential([keras.Input((5,)), kl.Dense(3), kl.Dense(1)])
    yield (
        "double precision, no parameters",
        lambda: keras.Sequential([keras.Input((None, 2)), kl.ReLU()]),
    )


KINDS = dict(kinds())


# ---- every model --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_of_every_kind_has_a_page(kind: str, tmp_path: Path) -> None:
    given = KINDS[kind]
    if isinstance(given, Path):
        configs = [given.with_name(name) for name in ("config.json", "layers.json")]
        low = lower(codegen.read(given, next((c for c in configs if c.exists()), None)))
    elif given is with_states:
        low = with_states(tmp_path)
        assert [one.title.split(":")[0] for one in recurrent_layers(low, {})][:2] == [
            "GRU_9",
            "GRU_20",
        ]
    else:
        low = lowered(randomised(given()))
    text = page_of(low)
    found = Checked(text)
    assert not found.wrong
    for layer in low.layers:
        assert layer.name in found.text
    assert text.isascii() or text.encode()
    ids = [attrs["id"] for _, attrs in found.elements if "id" in attrs]
    assert len(ids) == len(set(ids))


def test_names_from_files_stay_text() -> None:
    """As names of a model, of layers, of inputs and outputs, and of files."""
    low = lower(codegen.read(EXAMPLES / "causal_conv" / "causal_conv.keras"))
    nodes = [
        replace(node, layer=replace(node.layer, name=f"{HOSTILE}{number}"))
        for number, node in enumerate(low.model.graph.nodes)
    ]
    hostile = replace(
        low.model,
        name=HOSTILE,
        source=HOSTILE,
        writer=HOSTILE,
        graph=replace(low.model.graph, nodes=tuple(nodes)),
    )
    text = page_of(lower(hostile))
    found = Checked(text)
    assert not found.wrong
    assert "alert(1)" in found.text
    assert all(char.isprintable() or char == "\n" for char in text)


def test_names_of_files_stay_text(tmp_path: Path) -> None:
    name = "<b onclick=x>\"'&.py"
    made(tmp_path, SEED, name, "--name", "seed")
    out = tmp_path / "r.html"
    found = run("report", tmp_path / "seed.h5", tmp_path / name, "--steps", 9, "-o", out)
    assert found.exit_code == 0, found.output
    checked = Checked(out.read_text())
    assert not checked.wrong
    assert name in checked.text


def test_the_same_bytes_again(tmp_path: Path) -> None:
    """In another process, with another order of hashes and other settings of matplotlib."""
    (tmp_path / "matplotlibrc").write_text("font.size: 30\nsvg.fonttype: path\n")
    out, again = tmp_path / "a.html", tmp_path / "b.html"
    words = ["report", str(AMPLIFIER), "--steps", "5", "-o"]
    assert run(*words, out).exit_code == 0
    settings = {"PYTHONHASHSEED": "7", "MATPLOTLIBRC": str(tmp_path / "matplotlibrc")}
    command = [sys.executable, "-m", "codegen", *words, str(again)]
    subprocess.run(command, check=True, env={**os.environ, **settings}, capture_output=True)
    assert out.read_bytes() == again.read_bytes()


# ---- what it says -------------------------------------------------------------------------------


def test_files_are_measured_against_float64(tmp_path: Path) -> None:
    """The table, the curve and the worst step are what a run by hand gives."""
    made(tmp_path, SEED, "a.py")
    made(tmp_path, SEED, "b.py", "--quantize", "weights")
    np.savez(tmp_path / "x.npz", np.random.default_rng(1).normal(size=(30, 4)))
    integers = ("--quantize", "int16", "--io", "int16", "--calibration", str(tmp_path / "x.npz"))
    whole = made(tmp_path, SEED, "c.h", *integers)
    out = tmp_path / "r.html"
    words = ("report", tmp_path / "seed.h5", tmp_path / "a.py", tmp_path / "b.py")
    found = run(*words, whole, "--data", tmp_path / "x.npz", "-o", out)
    assert found.exit_code == 0, found.output
    text = Checked(out.read_text()).text
    assert "x.npz" in text
    compared = run("compare", *words[2:], "--data", tmp_path / "x.npz", "--json")
    largest = json.loads(compared.stdout)["largest"]
    shown = re.search(r"b\.py int8 weights.*?dense_1\s*([\d.e-]+)", text, flags=re.DOTALL)
    assert shown is not None
    assert float(shown[1]) == pytest.approx(largest, rel=0.1)
    assert text.count("agrees over 30 steps") == 2
    assert "equals the integers of the model to the bit, over 30 steps" in text
    shown = re.search(r"c\.h integers, int16 weights.*?dense_1\s*([\d.e-]+)", text, flags=re.DOTALL)
    assert shown is not None
    assert 1e-5 < float(shown[1]) < 1e-2


def broken(low: Lowered, step: int) -> File:
    """A runner that is off by 0.5 at one step, and whose first state is off by 0.25 from there."""

    class Off(Interpreted):
        count = 0  # since reset

        def reset(self) -> None:
            Off.count = 0
            super().reset()

        def step(self, *inputs: Any) -> Any:
            Off.count += 1
            found = super().step(*inputs)
            assert found is not None
            return tuple(y + (0.5 if Off.count == step else 0) for y in found)

        def get_state(self) -> Any:
            first, *rest = super().get_state()
            return [first + (0.25 if Off.count >= step else 0), *rest]

    return File(SEED, "numpy", "float64", {}, low, Off(Reference(low)))


def test_the_worst_step_and_the_layer_that_is_off() -> None:
    low = lower(codegen.read(SEED))
    found = measure(broken(low, 7), samples(low, 12), 12)
    assert found.worst_step == 7
    assert found.curve.shape == (12,)
    np.testing.assert_allclose(found.curve, [0.5 if t == 6 else 0 for t in range(12)], atol=1e-12)
    assert not found.same
    errors = {layer.layer: layer.states for layer in found.layers}
    assert errors["input_node_name"] == pytest.approx(0.25)
    assert errors["gru_layer_1"] == 0


@pytest.mark.parametrize("kind", ["steps", "whole"])
def test_what_layers_put_out_is_what_a_model_cut_there_puts_out(kind: str) -> None:
    low = lower(codegen.read(SEED)) if kind == "steps" else lowered(randomised(two_inputs()))
    inputs = samples(low, 6)
    values = layer_values(low, inputs)
    checked = 0
    for name, node in top_layers(low.model).items():
        if name in values:
            wanted = layer_output(low.model, node, inputs)
            np.testing.assert_allclose(values[name], np.ravel(wanted), atol=1e-12)
            checked += 1
    assert checked >= 4


def test_formulas_have_the_sizes_and_the_code_is_that_of_the_header() -> None:
    low = lower(codegen.read(SEED))
    layers = recurrent_layers(low, {})
    assert [layer.title.split(":")[0] for layer in layers] == [
        "input_node_name",
        "gru_layer_1",
        "gru_layer_2",
    ]
    header = codegen.generate(low.model, "c", "seed", profile="mcu")
    for layer in layers:
        lines = [line.strip() for line in layer.code.splitlines()]
        assert all(line in header for line in lines)
    plain = re.sub(r"<[^>]*>", "", "\n".join(layers[1].formulas))
    signs = ("MULTIPLICATION SIGN", "PRIME", "CIRCLED DOT OPERATOR", "MINUS SIGN")
    plain = plain.translate(
        {ord(unicodedata.lookup(n)): c for n, c in zip(signs, "x'*-", strict=True)}
    )
    assert "gates=Wgates128x64x+Ugates128x64h+bgates" in plain
    assert "h'=update*h+(1-update)*candidate" in plain


def test_formulas_have_places_in_time_as_they_are_written_by_hand() -> None:
    """Products without a sign, and a colon that stands apart from sums."""
    low = lower(codegen.read(EXAMPLES / "bidirectional" / "bidirectional.keras"))
    formulas = "\n".join(str(line) for one in recurrent_layers(low, {}) for line in one.formulas)
    minus = unicodedata.lookup("MINUS SIGN")
    assert re.search(r">\d+ t : \d+ t \+ \d+<", formulas)
    assert f"steps {minus} 1" in formulas.replace("&nbsp;", " ")
    assert not re.search(r"\d \* |steps - ", formulas)


def test_a_layer_that_only_delays_is_not_recurrent() -> None:
    low = lower(codegen.read(EXAMPLES / "causal_conv" / "causal_conv.keras"))
    assert low.step is not None
    assert any(state.line for state in low.step.states)
    kept = {state.layer for state in low.step.states if not state.line}
    assert {layer.title.split(":")[0] for layer in recurrent_layers(low, {})} == kept


# ---- estimates ----------------------------------------------------------------------------------


def test_prices_are_those_of_the_counts() -> None:
    rows = json.loads(run_cores.RESULTS.read_text())
    for (board, scheme), prices in PRICES.items():
        part = run_cores.chosen(rows, board, scheme)
        assert len(part) == prices.models
        assert prices.each == run_cores.fit(part)
        assert run_cores.off(part) <= prices.off <= run_cores.off(part) + 0.05
    assert {core.emulated for core in CORES} == {board for board, _ in PRICES}
    docs = (EXAMPLES.parent / "docs" / "report.md").read_text()
    low = lower(codegen.read(SEED))
    told = [estimates(low, scheme) for scheme in run_cores.SCHEMES]
    for number, core in enumerate(CORES):
        text = " | ".join(f"{100 * each[number].off:.0f} %" for each in told)
        assert re.search(rf"\| {core.name} \| [^|]* \| {text} \|", docs), (core.name, text)


@pytest.mark.emulator
def test_the_page_of_docs_has_the_uncertainties_as_they_are() -> None:
    text = (EXAMPLES.parent / "docs" / "report.md").read_text()
    low = lower(codegen.read(SEED))
    schemes = ("float", "weights", "int8", "int16")
    found = [estimates(low, scheme) for scheme in schemes]
    for row in zip(*found, strict=True):
        told = re.search(rf"^\| {row[0].core.name} \| [^|]* \|(.*) \|$", text, re.MULTILINE)
        assert told is not None
        assert told[1].split(" |") == [f" {100 * one.off:.0f} %" for one in row]
    rows = json.loads(run_cores.RESULTS.read_text())
    worst = max(
        run_cores.error(row, run_cores.chosen(rows, core.emulated, "float"))
        for core in CORES
        for row in run_cores.chosen(rows, core.emulated, "float")
        if re.search("GRU|LSTM", row["model"])
    )
    assert f"a GRU or an LSTM were within {np.ceil(100 * worst):.0f} % on" in text


def test_estimates_hold_for_a_model_that_was_not_counted(tmp_path: Path) -> None:
    model = keras.Sequential(
        [keras.Input((None, 5)), kl.GRU(20, return_sequences=True), kl.LSTM(10), kl.Dense(3)]
    )
    low = lowered(randomised(model))
    header = codegen.generate(low.model, "c", "model", profile="mcu")
    told = {one.core.emulated: one for one in estimates(low, "float")}
    for board in ("m4f", "rv32f", "microbit"):
        given = samples(low, 3)
        counted = emulators.run_model(board, header, "model", *given, folder=tmp_path).instructions
        assert told[board].low < counted < told[board].high, (board, counted, told[board])


@pytest.mark.parametrize(
    ("kind", "per"), [("delay line", "a step"), ("several inputs, no step", "a predict")]
)
def test_the_page_says_what_instructions_are_counted_for(kind: str, per: str) -> None:
    given = KINDS[kind]
    model = codegen.read(given) if isinstance(given, Path) else None
    text = page_of(lower(model) if model else lowered(randomised(given())))
    assert f"<h2>Instructions {per}</h2>" in text
    assert f"Instructions {per}, estimated" in text
    assert f"multiply-adds {per}<" in text


def test_work_is_counted_on_the_ops() -> None:
    model = keras.Sequential([keras.Input((None, 3)), kl.Dense(4, "tanh"), kl.Dense(2)])
    found = work(lowered(model))
    assert (found.macs, found.rows, found.functions) == (20, 6, 4)


# ---- the drawing --------------------------------------------------------------------------------


def test_boxes_and_passing_lines_do_not_meet() -> None:
    drawing = graph.draw(lowered(two_inputs()))
    assert drawing is not None
    boxes = [(b.x, b.y, b.x + graph.BOX, b.y + graph.HEIGHT) for b in drawing.boxes]
    for number, (left, top, right, bottom) in enumerate(boxes):
        assert 0 <= left < right <= drawing.width
        assert 0 <= top < bottom <= drawing.height
        for a, b, c, d in boxes[:number]:
            assert right <= a or c <= left or bottom <= b or d <= top
        for line in drawing.lines:
            points = [
                tuple(map(float, p.split())) for p in re.findall(r"[-\d.]+ [-\d.]+", line.path)
            ]
            inside = [left < x < right and top + 1 < y < bottom - 1 for x, y in points]
            assert not any(inside), (line, drawing.boxes[number])


def test_too_large_a_graph_is_not_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    low = lower(codegen.read(SEED))
    monkeypatch.setattr(graph, "MOST", 3)
    assert graph.draw(low) is None
    assert "too many layers to draw" in page_of(low)


# ---- refusals -----------------------------------------------------------------------------------


def test_without_matplotlib_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def missing(name: str, *arguments: Any, **keywords: Any) -> Any:
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *arguments, **keywords)

    monkeypatch.setattr(builtins, "__import__", missing)
    found = run("report", SEED, "-o", tmp_path / "r.html")
    assert found.exit_code == 1
    assert found.output == (
        "Error: plots need matplotlib, which is not installed here: "
        "`pip install rnn-codegen[report]` installs it\n"
    )
    assert not list(tmp_path.iterdir())


def test_the_page_is_never_written_over_what_it_is_made_of(tmp_path: Path) -> None:
    out = made(tmp_path, SEED, "a.py")
    np.savez(tmp_path / "x.npz", np.ones((5, 4)))
    model = tmp_path / "seed.h5"
    for over in (model, out, tmp_path / "x.npz"):
        before = over.read_bytes()
        found = run("report", model, out, "--data", tmp_path / "x.npz", "-o", over)
        assert found.exit_code == 1, found.output
        assert over.read_bytes() == before


def test_pages_and_plots_are_written_again_where_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the current folder, too, which is not a model that is a folder."""
    made(tmp_path, SEED, "a.py")
    monkeypatch.chdir(tmp_path)
    for words in (
        ("report", "seed.h5", "--steps", 9, "-o", "r.html"),
        ("verify", "seed.h5", "a.py", "--steps", 9, "--plot", "p.svg"),
        ("inspect", "seed.h5", "--plot", "p.svg"),
        ("compare", "a.py", "a.py", "--steps", 9, "--plot", "p.svg"),
    ):
        for _ in range(2):
            found = run(*words)
            assert found.exit_code == 0, found.output


def test_a_file_of_another_model_is_refused_and_the_page_stays(tmp_path: Path) -> None:
    out = made(tmp_path, EXAMPLES / "tokens" / "tokens.keras", "a.py")
    kept = tmp_path / "r.html"
    kept.write_text("before")
    found = run("report", SEED, out, "-o", kept)
    assert found.exit_code == 1
    assert "was made from another model" in found.output
    assert kept.read_text() == "before"


# ---- how it looks -------------------------------------------------------------------------------


def luminance(colour: str) -> float:
    parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return sum(a * b for a, b in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(a: str, b: str) -> float:
    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def themes() -> list[dict[str, str]]:
    text = source("report/colours.css")
    blocks = re.findall(r":root \{(.*?)\}", text, flags=re.DOTALL)
    return [dict(re.findall(r"(--\w+): (#[0-9a-f]{6});", block)) for block in blocks]


def test_colours_have_contrast_in_both_themes_and_print() -> None:
    light, dark, printed = themes()
    assert light == printed
    assert set(light) == set(dark) >= set(plots.VARIABLES.values())
    for theme in (light, dark):
        for ground in (theme["--paper"], theme["--card"]):
            for name in ("--ink", "--muted", "--link", "--good", "--bad"):
                assert contrast(theme[name], ground) >= 4.5, name
        for number in range(1, 7):
            assert contrast(theme[f"--s{number}"], theme["--paper"]) >= 3, number


MEASURES = """<!DOCTYPE html>
<meta charset="utf-8">
<body style="margin:0">
<script>
const WIDTHS = [390, 1280];
const wrong = {};
function about(node) { return node.tagName + ": " + (node.textContent || "").slice(0, 40); }
function meet(a, b) {
  const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left);
  const high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
  return wide > 1.5 && high > 2.5;
}
function measure(frame, width) {
  const page = frame.contentDocument, found = [];
  const note = (what, node) => found.push(what + " " + about(node));
  const root = page.documentElement;
  if (root.scrollWidth > width) found.push("the page is " + root.scrollWidth + " wide");
  for (const node of page.body.querySelectorAll("*")) {
    const place = node.getBoundingClientRect();
    if (!place.width || node.closest(".scroll > *") || node.ownerSVGElement) continue;
    if (place.left < 0 || place.right > width + 0.5) note("out of the page:", node);
  }
  for (const svg of page.querySelectorAll("svg")) {
    const said = svg.getAttribute("role") === "img" && svg.getAttribute("aria-label");
    if (!said) note("no text:", svg);
    const room = svg.getBoundingClientRect(), texts = [...svg.querySelectorAll("text")];
    const places = texts.map((text) => text.getBoundingClientRect());
    texts.forEach((text, k) => {
      const p = places[k];
      if (p.left < room.left - 1 || p.right > room.right + 1 || p.top < room.top - 1 ||
          p.bottom > room.bottom + 1) note("clipped:", text);
      places.slice(0, k).forEach((other) => { if (meet(p, other)) note("on another:", text); });
    });
  }
  for (const text of page.querySelectorAll(".graph g text")) {
    const box = text.parentNode.querySelector("rect").getBoundingClientRect();
    if (text.getBoundingClientRect().right > box.right - 2) note("out of its box:", text);
  }
  for (const math of page.querySelectorAll("math")) {
    if (math.getBoundingClientRect().height < 8) note("flat:", math);
  }
  for (const box of page.querySelectorAll(".scroll")) {
    const shade = frame.contentWindow.getComputedStyle(box).backgroundImage.includes("gradient");
    const wide = box.scrollWidth > box.clientWidth;
    const clear = [...box.querySelectorAll("table, pre, math")].every((inner) =>
      frame.contentWindow.getComputedStyle(inner).backgroundColor === "rgba(0, 0, 0, 0)");
    if (wide && !(shade && clear)) note("nothing says that it scrolls:", box);
    if (wide && box.tabIndex !== 0) note("no key scrolls:", box);
    if (wide && width > 1000 && box.classList.contains("small")) note("small and cut:", box);
    if (box.querySelector("caption")) note("a caption scrolls away:", box);
  }
  for (const image of page.querySelectorAll("img")) if (!image.alt) note("no text:", image);
  const asked = frame.contentWindow.performance.getEntriesByType("resource");
  asked.forEach((entry) => found.push("asked for " + entry.name));
  return found;
}
(async () => {
  for (const width of WIDTHS) {
    const frame = document.createElement("iframe");
    frame.style = `border:0;width:${width}px;height:900px`;
    const loaded = new Promise((done) => { frame.onload = done; });
    frame.src = "report.html";
    document.body.append(frame);
    await loaded;
    wrong[width] = measure(frame, width);
    wrong[width + " shown"] = frame.contentDocument.querySelectorAll("section").length;
  }
  await fetch("found", { method: "POST", body: JSON.stringify(wrong) });
})().catch((error) => fetch("found", { method: "POST", body: JSON.stringify(String(error)) }));
</script>
"""


@pytest.mark.slow
def test_a_browser_shows_all_of_it(tmp_path: Path) -> None:
    """Nothing is clipped, lies on something else or is asked for; it looks right in both themes."""
    folder = tmp_path / "page"
    folder.mkdir()
    made(folder, SEED, "seed_mcu.h", "--profile", "mcu")
    made(folder, SEED, "seed_of_a_long_name_int8.h", "--quantize", "weights")
    files = [folder / "seed_mcu.h", folder / "seed_of_a_long_name_int8.h"]
    out = folder / "report.html"
    found = run("report", folder / "seed.h5", *files, "--steps", 40, "-o", out)
    assert found.exit_code == 0, found.output
    (folder / "test.html").write_text(MEASURES)
    (folder / "phone.html").write_text(
        '<!DOCTYPE html><body style="margin:0"><iframe src="report.html" '
        'style="border:0;width:390px;height:900px"></iframe>'
    )
    with serving(folder) as server:
        measured = reported(server, "test.html", tmp_path / "profile")
        assert measured == {"390": [], "390 shown": 7, "1280": [], "1280 shown": 7}
        asked = {path for path in server.asked if path != "/favicon.ico"}
        assert asked == {"/test.html", "/report.html"}
        for name, width in (("phone.html", 500), ("report.html", 1280)):
            for dark, ground in ((False, (255, 255, 255)), (True, (20, 23, 28))):
                picture = tmp_path / f"{width}{dark}.png"
                profile = tmp_path / "profile2"
                screenshot(server.url(name), picture, profile, (width, 900), dark=dark)
                with Image.open(picture) as image:
                    assert image.size == (width, 900)
                    pixels = image.convert("RGB")
                    assert pixels.getpixel((3, 3)) == ground
                    assert len(pixels.getcolors(1 << 20) or ()) > 20
