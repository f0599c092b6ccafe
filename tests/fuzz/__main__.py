"""Run a fuzzer for each container; exit status 1 if either finds anything.

With --every-byte, change every byte of the smallest good files instead, which ends by itself.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.fuzz import every_byte
from tests.fuzz.outcome import SEEDS, outcome


def run(container: str, seconds: int, seed: int, folder: Path) -> tuple[int, str]:
    """Exit status of the fuzzer, and what it printed."""
    words = [container, str(seconds), str(seed), str(folder)]
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.guided", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
        timeout=seconds + 300,
    )
    return done.returncode, done.stdout


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="for each container")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--container", choices=list(SEEDS), action="append")
    parser.add_argument("--every-byte", action="store_true")
    parser.add_argument("--again", type=Path, help="try one file that was found before")
    given = parser.parse_args()
    if given.again is not None:
        with tempfile.TemporaryDirectory() as folder:
            for number in range(3):
                print(outcome(given.again.read_bytes(), Path(folder), number))
        return 0
    if given.every_byte:
        for kind in every_byte.FILES:
            print(f"{kind}: {dict(every_byte.tried(kind))}", flush=True)
        return 0
    failed = 0
    for container in given.container or SEEDS:
        folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
        status, said = run(container, given.seconds, given.seed, folder)
        print(said[-4000:])
        print(f"{container}: {'nothing found' if status == 0 else f'FAILED, see {folder}'}")
        failed += status != 0
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
