"""Draw models from seeds, and change their configurations; keep the smallest form of what fails.

python -m tests.random_models --seconds 600            as many as fit, from --seed on
python -m tests.random_models --seed 7 --count 100     these seeds
python -m tests.random_models --show 17                one of them, and what comes of it
"""

from __future__ import annotations

import argparse
import logging
import os
import random
import sys
import time
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "numpy")

from tests.random_models import mutate
from tests.random_models.build import Spec, kinds_in, text
from tests.random_models.draw import CannotDrawError, draw
from tests.random_models.judge import CPool, KerasCannotError, Run, Verdict, judged
from tests.random_models.shrink import keep, shrunk

TARGETS: Sequence[tuple[str, ...]] = ((), ("numpy",), ("python",), (), ("javascript",))  # () is C
TOGETHER = 24  # headers that are compiled at once
CHANGES = 6  # of the configuration of one model


class Tally:
    """What came of all models so far."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.totals: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.keras: Counter[str] = Counter()
        self.layers: dict[str, Counter[str]] = {}
        self.changes: dict[str, Counter[str]] = {}
        self.failed = 0

    def note(self, spec: Spec, verdict: Verdict, targets: Sequence[str] = ()) -> None:
        """Count a verdict; shrink and keep what failed."""
        self.totals[verdict.what] += 1
        for kind in set(kinds_in(spec)):
            self.layers.setdefault(kind, Counter())[verdict.what] += 1
        for class_name, message in verdict.refused:
            self.refused[f"{class_name}: {message[:150]}"] += 1
        if verdict.what == "keras":
            self.keras[" ".join(verdict.message.split())[:150]] += 1
        if verdict.failed:
            self.failed += 1
            small = shrunk(spec, lambda other: judged(other, targets))
            kept = keep(small, verdict, self.folder / str(spec["seed"]))
            print(f"==== seed {spec['seed']}: {verdict.what}: {verdict.message}")
            print(f"{text(small)}\nkept in {kept}\n", flush=True)

    def changed(self, model: str, change: mutate.Change, found: mutate.Result) -> None:
        """Count what came of a changed configuration."""
        counts = self.changes.setdefault(change.key, Counter())
        counts[found.what + (", which matters" if found.matters else "")] += 1
        if found.what in {"differs", "crash"}:
            self.failed += 1
            print(f"==== {change}\n{found}\n{model}\n", flush=True)

    def lines(self) -> Iterator[str]:
        """The report."""
        yield str(dict(self.totals))
        for title, counts in (("refused", self.refused), ("keras", self.keras)):
            for line, count in counts.most_common():
                yield f"{title} {count:5} {line}"
        for title, table in (("layer", self.layers), ("change", self.changes)):
            for name, counts in sorted(table.items()):
                yield f"{title} {name} {dict(counts)}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.random_models", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="the first seed")
    parser.add_argument("--count", type=int, default=10**9, help="of seeds")
    parser.add_argument("--seconds", type=float, default=1e9)
    parser.add_argument("--show", type=int, help="a seed to print")
    parser.add_argument("--keep", type=Path, default=Path("fuzz-work/models"))
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.getLogger("absl").setLevel(logging.ERROR)
    if given.show is not None:
        spec = draw(given.show)
        print(f"{text(spec)}\n{judged(spec, ('numpy', 'python'))}")
        return 0
    until = time.monotonic() + given.seconds
    tally, pool = Tally(given.keep), CPool()
    seed = given.seed
    try:
        while seed < given.seed + given.count and time.monotonic() < until:
            _one(seed, tally, pool)
            seed += 1
    except KeyboardInterrupt:  # the report is of what there is
        pass
    for spec, verdict in pool.judged():
        tally.note(spec, verdict)
    print(f"seeds {given.seed} to {seed - 1}")
    print("\n".join(tally.lines()))
    return int(tally.failed > 0)


def _one(seed: int, tally: Tally, pool: CPool) -> None:
    """Judge the model of a seed, and some changes of its configuration."""
    try:
        spec = draw(seed)
    except CannotDrawError:
        tally.totals["cannot be drawn"] += 1
        return
    targets = TARGETS[seed % len(TARGETS)]
    verdict = judged(spec, targets, pool if not targets else None)
    tally.note(spec, verdict, targets)
    if len(pool.waiting) >= TOGETHER:
        for other, found in pool.judged():
            tally.note(other, found)
    try:
        if seed % 8 == 0:
            cases = mutate.recorded()
            case = cases[seed // 8 % len(cases)]
            _change(seed, str(case), mutate.of_case(case, seed), tally)
        elif seed % 2 and verdict.what == "agrees":
            _change(seed, text(spec), mutate.of_spec(spec), tally)
    except KerasCannotError:
        pass


def _change(seed: int, model: str, base: tuple[Any, Run], tally: Tally) -> None:
    """Judge some changes of a configuration."""
    r = random.Random(seed)
    changes = mutate.changes(base[0], r)
    for change in r.sample(changes, min(CHANGES, len(changes))):
        tally.changed(model, change, mutate.judged(base[0], change, base[1], seed))


if __name__ == "__main__":
    sys.exit(main())
