"""Prints the figures of README.md: `python measure.py`, in a checkout with what its tests need.

Needs micropython, mpy-cross and node on PATH.
"""

from __future__ import annotations

import csv
import math
import shutil
import subprocess
import tempfile
from collections import Counter
from pathlib import Path

HERE = Path(__file__).parent
FORMS = {
    "float32": [],
    "--quantize weights": ["--quantize", "weights"],
    "--quantize int8": ["--quantize", "int8", "--input-range", "language=0:1"],
}
SMOOTHING = 10  # chosen on the tenth of the names that chose the settings of train.py


def read(name: str) -> list[tuple[str, str]]:
    """The pairs of language and name in a file."""
    with (HERE / name).open(encoding="utf-8", newline="") as file:
        return [(language, text) for language, text in csv.reader(file)]


class Letters:
    """Counts of n letters in a row, for each language. Fewer letters stand in where more are rare.

    With s = SMOOTHING and c' the context c without its first letter,
    p(x | c) = (count(c x) + s p(x | c')) / (count(c) + s).
    """

    def __init__(self, n: int, names: list[tuple[str, str]]) -> None:
        self.n = n
        self.counts: Counter[tuple[str, str]] = Counter()
        self.contexts: Counter[tuple[str, str]] = Counter()
        self.alphabet = {letter for _, name in names for letter in name} | {"\n"}
        for language, name in names:
            for context, letter in self.places(name):
                for start in range(n):
                    self.counts[language, context[start:] + letter] += 1
                    self.contexts[language, context[start:]] += 1

    def places(self, name: str) -> list[tuple[str, str]]:
        """What comes before each letter and before the end, and the letter."""
        text = "\n" * (self.n - 1) + name + "\n"
        return [(text[at - self.n + 1 : at], text[at]) for at in range(self.n - 1, len(text))]

    def probability(self, language: str, context: str, letter: str) -> float:
        """Of a letter after a context."""
        less = (
            self.probability(language, context[1:], letter) if context else 1 / len(self.alphabet)
        )
        whole = self.contexts[language, context] + SMOOTHING
        return (self.counts[language, context + letter] + SMOOTHING * less) / whole

    def bits(self, names: list[tuple[str, str]]) -> float:
        """Cross-entropy in bits a character."""
        found = [
            -math.log2(self.probability(language, context, letter))
            for language, name in names
            for context, letter in self.places(name)
        ]
        return sum(found) / len(found)


def run(folder: Path, *command: str) -> str:
    """What a command prints, in a folder."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout


def fits(folder: Path, heap: int) -> bool:
    """Whether a name is written in a heap of so many KB."""
    command = ["micropython", "-X", f"heapsize={heap}K", "write_names.py", "Icelandic", "3"]
    return subprocess.run(command, cwd=folder, capture_output=True, check=False).returncode == 0


def least(folder: Path) -> int:
    """The smallest heap that suffices, in KB."""
    low, high = 1, 2048
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if fits(folder, middle) else (middle + 1, high)
    return low


def main() -> None:
    """Print all of them."""
    train, test = read("train.csv"), read("test.csv")
    for n in (1, 3, 4, 5):
        model = Letters(n, train)
        print(f"{n} letters: {model.bits(test):.3f} bits, {len(model.counts)} counts")
    for title, options in FORMS.items():
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            for file in ("alphabet.json", "score.py", "test.csv", "train.csv", "write_names.py"):
                shutil.copy(HERE / file, folder)
            path = folder / "names_plain.py"
            words = ["--target", "python", "--runtime", "micropython", "--no-selftest", *options]
            model_file = str(HERE / "names.keras")
            run(folder, "rnn-codegen", "convert", model_file, "-o", path.name, *words)
            said = run(folder, "micropython", "-X", "heapsize=16M", "score.py").splitlines()
            source, heap = path.stat().st_size, least(folder)
            run(folder, "mpy-cross", path.name)
            path.unlink()
            compiled = path.with_suffix(".mpy").stat().st_size
            print(f"{title}: {said[1]}, {said[2]}")
            print(
                f"  {source} bytes, heap {heap} KB; .mpy {compiled} bytes, heap {least(folder)} KB"
            )
    print(f"names.js: {run(HERE, 'node', 'score.js').splitlines()[1]}")


if __name__ == "__main__":
    main()
