"""Run all benchmarks, and write the report: what `make bench` does.

python -m benchmarks [--report]         --report: only write the report of kept results again
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks import report

RUNS = ("run_c", "run_vad", "run_python", "run_mcu", "run_integers")
EMULATED = ("run_mcu", "run_integers")


def main() -> None:
    """Each part in a process of its own, so that none disturbs another."""
    if "--report" not in sys.argv:
        for run in RUNS:
            if run in EMULATED and not shutil.which("qemu-system-arm"):
                print(f"{run}: left out, there is no qemu-system-arm")
                continue
            root = Path(__file__).parents[1]
            subprocess.run([sys.executable, "-m", f"benchmarks.{run}"], check=True, cwd=root)
    report.write()


if __name__ == "__main__":
    main()
