"""One fuzzer: `python -m tests.fuzz.guided CONTAINER SECONDS SEED FOLDER`, a process of its own.

libFuzzer ends its process whatever happens; status 0 means that nothing was found.
"""

from __future__ import annotations

import random
import sys
import time
from collections import Counter
from pathlib import Path

try:
    import atheris
except ImportError:  # no wheel for this Python or system
    atheris = None

if atheris is not None:
    with atheris.instrument_imports(include=["codegen.readers"]):
        import codegen.readers  # noqa: F401

from tests.fuzz.outcome import damaged, mutated, outcome, seeds


def by_coverage(container: str, seconds: int, seed: int, folder: Path) -> None:
    """Let libFuzzer choose what to change next."""
    corpus = folder / f"corpus-{container}"
    corpus.mkdir(exist_ok=True)
    for number, data in enumerate(seeds(container)):
        (corpus / f"seed{number}").write_bytes(data)
    count = 0

    def one(data: bytes) -> None:
        nonlocal count
        count += 1
        outcome(data, folder, count)

    def change(data: bytes, largest: int, number: int) -> bytes:
        chance = random.Random(number)

        def mutate(part: bytes) -> bytes:
            if chance.random() < 0.5:
                return damaged(part, chance)
            found: bytes = atheris.Mutate(part, max(len(part) + 64, 1))
            return found

        return mutated(container, data, chance, mutate)[:largest]

    arguments = [
        "fuzz",
        f"-max_total_time={seconds}",
        f"-seed={seed or 1}",
        "-timeout=250",
        "-rss_limit_mb=8192",  # the peak of the process that started this one counts, too
        "-max_len=262144",
        "-len_control=0",
        "-verbosity=0",
        f"-artifact_prefix={folder}/{container}-",
        str(corpus),
    ]
    atheris.Setup(arguments, one, custom_mutator=change)
    atheris.Fuzz()


def by_chance(container: str, seconds: int, seed: int, folder: Path) -> int:
    """Damage good files at random."""
    chance, found = random.Random(seed), Counter[str]()
    good, end = seeds(container), time.monotonic() + seconds
    while time.monotonic() < end:
        data = mutated(container, chance.choice(good), chance, lambda part: damaged(part, chance))
        try:
            found[outcome(data, folder, found.total())] += 1
        except BaseException:
            (folder / f"{container}-failed").write_bytes(data)
            raise
    print(f"{container}: {dict(found)}")
    return 0


def main() -> None:
    container, seconds, seed, folder = sys.argv[1:]
    run = by_chance if atheris is None else by_coverage
    run(container, int(seconds), int(seed), Path(folder))


if __name__ == "__main__":
    main()
