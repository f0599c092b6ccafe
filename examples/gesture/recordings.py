"""Make train.csv and test.csv out of the package that ships the recordings.

pip download --no-deps sktime==1.2.0
python recordings.py sktime-1.2.0-py3-none-any.whl

Nothing of the package is imported or installed. Its files hold one recording a line, the axes
separated by colons: acceleration without gravity in m/s^2, then rotation in rad/s. They become
thousandths of g and degrees a second, which is finer than the noise, and what sensors count in.
The activities take turns, so that a file can be played as one stream with a change every 10 s.
"""

import argparse
import csv
import math
import zipfile
from pathlib import Path

ACTIVITIES = ("Standing", "Walking", "Running", "Badminton")
SOURCE = "sktime/datasets/data/BasicMotions/BasicMotions_{}.ts"
MILLI_G, DEGREES = 1000 / 9.80665, 180 / math.pi


def recordings(text):
    """The recordings of a .ts file as (activity, rows of six integers)."""
    body = text.partition("@data\n")[2]
    for line in body.splitlines():
        *axes, activity = line.split(":")
        columns = [
            [round(float(value) * (MILLI_G if k < 3 else DEGREES)) for value in axis.split(",")]
            for k, axis in enumerate(axes)
        ]
        yield activity.strip(), list(zip(*columns, strict=True))


def in_turns(found):
    """The first recording of each activity, then the second of each, and so on."""
    by_activity = [[rows for name, rows in found if name == wanted] for wanted in ACTIVITIES]
    for turn in zip(*by_activity, strict=True):
        yield from zip(ACTIVITIES, turn, strict=True)


def main():
    """Write train.csv and test.csv."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    arguments = parser.parse_args()
    with zipfile.ZipFile(arguments.wheel) as wheel:
        for split in ("TRAIN", "TEST"):
            found = list(recordings(wheel.read(SOURCE.format(split)).decode()))
            with (arguments.out / f"{split.lower()}.csv").open("w", newline="") as file:
                writer = csv.writer(file, lineterminator="\n")
                writer.writerow(["recording", "activity", "ax", "ay", "az", "gx", "gy", "gz"])
                for number, (activity, rows) in enumerate(in_turns(found)):
                    writer.writerows([number, activity, *row] for row in rows)


if __name__ == "__main__":
    main()
