"""What a release consists of: a wheel and an sdist that work where nothing else of this is."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import tomllib

import codegen
from hatch_build import LINK, for_index
from tests.support import interpreters
from tests.support.interpreters import environments

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "generated_examples" / "last_step"
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
VERSION = codegen.__version__


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    """What a program prints that knows nothing of this checkout."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**kept, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def build(kind: str, source: Path, folder: Path) -> Path:
    """The wheel or sdist that hatchling, the backend of pyproject.toml, makes of a folder."""
    run(sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", folder, cwd=source)
    (found,) = folder.iterdir()
    return found


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("sdist", ROOT, tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that the sdist builds."""
    folder = tmp_path_factory.mktemp("source")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    (source,) = folder.iterdir()
    return build("wheel", source, tmp_path_factory.mktemp("wheel"))


def contents(wheel: Path) -> dict[str, bytes]:
    """The files of a wheel; RECORD lists them in the order of the disk."""
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if not name.endswith("/RECORD")]
        return {name: archive.read(name) for name in names}


def committed(folder: str) -> Iterator[Path]:
    listed = run("git", "ls-files", "-co", "--exclude-standard", folder, cwd=ROOT).splitlines()
    return (Path(path) for path in listed if (ROOT / path).exists())


def test_the_wheel_holds_the_package_and_the_templates(wheel: Path, tmp_path: Path) -> None:
    assert wheel.name == f"rnn_codegen-{VERSION}-py3-none-any.whl"
    found = contents(wheel)
    wanted = {str(path) for path in committed("codegen")}
    wanted |= {f"codegen/{path}" for path in committed("templates")}
    info = f"rnn_codegen-{VERSION}.dist-info/"
    assert {name for name in found if not name.startswith(info)} == wanted
    assert f"{info}licenses/LICENSE" in found
    assert b"rnn-codegen = codegen.commands.main:main" in found[f"{info}entry_points.txt"]
    assert found == contents(build("wheel", ROOT, tmp_path))


def test_the_page_on_an_index_has_no_link_that_leads_nowhere(wheel: Path) -> None:
    page = contents(wheel)[f"rnn_codegen-{VERSION}.dist-info/METADATA"].decode()
    assert "Description-Content-Type: text/markdown" in page
    assert "\n# rnn-codegen\n" in page
    assert all("://" in target for _, _, target in LINK.findall(page))
    text = "![a](b/c.svg) [d](e.md#f) [g](https://h.test/i) m.step([0.1])"
    assert for_index(text, "") == " d [g](https://h.test/i) m.step([0.1])"
    assert for_index(text, "https://x.test/y/") == (
        "![a](https://x.test/y/raw/HEAD/b/c.svg) [d](https://x.test/y/blob/HEAD/e.md#f) "
        "[g](https://h.test/i) m.step([0.1])"
    )


# The whole way of a model; tests/test_golden.py compares what all targets write.
USE = """\
rnn-codegen convert last_step.h5 -o last_step.h
rnn-codegen check --verify last_step.h
rnn-codegen convert last_step.h5 -o package --package python
python -c 'import codegen; print(codegen.__version__, codegen.__file__)'
"""


def test_the_wheel_works_in_every_python(wheel: Path, tmp_path: Path) -> None:
    pythons = environments()
    assert pythons
    for name, python in pythons.items():
        folder = tmp_path / name
        run(python, "-m", "venv", "--without-pip", folder, cwd=tmp_path)
        # what the package depends on, which pip would install, is there already
        say = "import sysconfig; print(sysconfig.get_path('purelib'))"
        own = folder / "bin" / "python"
        site, others = (Path(run(p, "-c", say, cwd=tmp_path).strip()) for p in (own, python))
        (site / "others.pth").write_text(f"{others}\n")
        pip = [sys.executable, "-m", "pip", "--python", own, "--disable-pip-version-check"]
        run(*pip, "install", "-q", "--no-index", wheel, cwd=tmp_path)
        work = folder / "work"
        work.mkdir()
        (work / "last_step.h5").write_bytes((EXAMPLE / "last_step.h5").read_bytes())
        path = os.pathsep.join([str(folder / "bin"), os.environ["PATH"]])
        said = run("bash", "-euo", "pipefail", "-c", USE, cwd=work, PATH=path)
        assert "last_step.h: same; agrees over 100 steps" in said, f"{name}: {said}"
        assert said.endswith(f"{VERSION} {site / 'codegen' / '__init__.py'}\n")
        header = (work / "last_step.h").read_bytes()
        assert header == (EXAMPLE / "last_step.h").read_bytes(), name
        assert (work / "package" / "src" / "package" / "_model.c").exists()


COMPILE = """\
import json, sys, warnings
warnings.simplefilter("error")
with open("sources.json") as file:
    sources = json.load(file)
for name, text in sources.items():
    compile(text, name, "exec")
print(sys.version_info[:2], len(sources))
"""


def test_sources_are_fine_with_python_3_14(wheel: Path, tmp_path: Path) -> None:
    """In node, which has neither NumPy nor h5py for it; plain files run there in other tests."""
    sources = {name: text for name, text in contents(wheel).items() if name.endswith(".py")}
    examples = [*ROOT.glob("generated_examples/*/*.py"), *ROOT.glob("examples/*/*.py")]
    sources |= {str(path.relative_to(ROOT)): path.read_bytes() for path in examples}
    # parts of files, in braces or without an end
    whole = {name: text.decode() for name, text in sources.items() if "templates/" not in name}
    (tmp_path / "sources.json").write_text(json.dumps(whole))
    (tmp_path / "main.py").write_text(COMPILE)
    done = interpreters.run(interpreters.found()["pyodide"], tmp_path / "main.py")
    assert done.out == f"(3, 14) {len(whole)}\n", done.text


def test_changelog_and_docs_are_of_this_version() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    versions = re.findall(r"^## (.*)$", changelog, re.MULTILINE)
    assert versions[0] == VERSION
    assert re.fullmatch(r"\d+\.\d+\.\d+", VERSION)
    for page in (*PAGES, ROOT / "CONTRIBUTING.md"):
        text = page.read_text(encoding="utf-8")
        named = re.findall(r"(?:rnn-codegen==|rev: v|rnn-codegen@v)([\d.]+\d)", text)
        assert set(named) <= {VERSION}, page


def test_pages_install_it_with_one_command() -> None:
    """`pip install rnn-codegen`, with an extra or a version; from a checkout in one way."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = "|".join(project["optional-dependencies"])
    known = rf'pip install (rnn-codegen(=={re.escape(VERSION)})?|"rnn-codegen\[({extras})\]"|\.)'
    found = set()
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for line in re.findall(r"pip install [^`\n]*", text):
            if "codegen" in line or re.match(r"pip install \.(\s|$)", line):
                assert re.fullmatch(known, line.split(" #")[0].strip()), f"{page}: {line}"
                found.add(page.name)
        if re.search(r"pip install \.(\s|`)", text):
            assert re.search(r"pip install rnn-codegen$", text, re.MULTILINE), page
            assert "checkout" in text, page
    assert {"README.md", "index.md", "ci.md"} <= found
