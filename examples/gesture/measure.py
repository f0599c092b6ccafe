"""Measure the generated code and draw what comes out.

python measure.py [--out DIR]

Compiles replay.c with each generated file, plays test.csv through it, and writes results.json and
activity.svg. Beside the networks stands what can be done without: the spread of each axis over the
last two seconds, and the activity whose mean is nearest.
"""

import argparse
import json
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from motion import ACTIVITIES, LENGTH, SETTLED, prepare, read, worn, write
from picture import picture

HERE = Path(__file__).parent
FILES = {
    "float": "activity_float.h",
    "int16": "activity_int16.h",
    "int8": "Activity/src/Activity.h",
}
COPIES = 4  # of the test recordings, each strapped on in another direction


# ---- the generated code -------------------------------------------------------------------------


def replay(header, folder):
    """replay.c with this generated file, compiled in a folder of its own."""
    folder.mkdir()
    shutil.copy(header, folder / "Activity.h")
    for name in ("Activity.c", "motion.h"):
        shutil.copy(HERE / "Activity" / "src" / name, folder)
    sources = [HERE / "replay.c", folder / "Activity.c"]
    subprocess.run(
        ["cc", "-std=c99", "-O2", "-Wall", "-Wextra", "-Werror", "-I", folder, *sources]
        + ["-o", folder / "replay"],
        check=True,
    )
    return folder / "replay"


def played(program, *words):
    """What the program says of a file.

    The matrix of its answers, how many recordings it has recognised, the part of its answers that
    is right, and how many are right at each time after a change.
    """
    said = subprocess.run([program, *words], capture_output=True, text=True, check=True).stdout
    *matrix, recordings, readings, after = [line.split() for line in said.splitlines()[1:]]
    return {
        "answers": [[int(word) for word in row[1:]] for row in matrix],
        "recordings": int(recordings[1]),
        "readings": int(readings[1]) / int(readings[3]),
        "after": [int(word) for word in after[5:]],
    }


# ---- without a network --------------------------------------------------------------------------


def spread(x, axes):
    """Streams (steps, axes) -> the logarithm of each axis' standard deviation over two seconds."""
    first = np.repeat(x[:1], SETTLED - 1, axis=0)
    windows = np.lib.stride_tricks.sliding_window_view(np.concatenate([first, x]), SETTLED, axis=0)
    return np.log(windows.std(-1)[:, :axes] + 0.001)


def nearest(train, activity, test, axes=6):
    """Answers (n, LENGTH) for recordings that are one stream: the nearest mean of the training."""
    whole = np.array([spread(row, axes)[SETTLED - 1 :] for row in prepare(train)])
    means = np.array([whole[activity == k].mean((0, 1)) for k in range(len(ACTIVITIES))])
    found = spread(prepare(test.reshape(1, -1, 6))[0], axes)
    return ((found[:, None] - means) ** 2).sum(-1).argmin(-1).reshape(-1, LENGTH)


# ---- all of it ----------------------------------------------------------------------------------


def measured(work):
    """Every figure of README.md that needs no board; `work` is an empty folder."""
    train, activity = read(HERE / "train.csv")
    test, wanted = read(HERE / "test.csv")
    streams = np.tile(test.reshape(1, -1, 6), (COPIES, 1, 1))
    turned = worn(np.random.default_rng(1), streams).reshape(-1, LENGTH, 6)
    write(work / "worn.csv", turned, np.tile(wanted, COPIES))

    readings = {}
    for kind, file in FILES.items():
        program = replay(HERE / file, work / kind)
        plain = played(program, HERE / "test.csv")
        readings[kind] = {
            "as recorded": plain["readings"],
            "turned": played(program, work / "worn.csv")["readings"],
            "turned, no gyroscope": played(program, work / "worn.csv", "-a")["readings"],
        }
    right = {}
    other = worn(np.random.default_rng(2), np.tile(train, (COPIES, 1, 1)))
    for kind, shown in (("no network", train), ("no network, turned", other)):
        kinds = np.resize(activity, len(shown))
        answers = {
            "as recorded": nearest(shown, kinds, test),
            "turned": nearest(shown, kinds, turned),
            "turned, no gyroscope": nearest(shown, kinds, turned, axes=3),
        }
        right[kind] = {
            key: row == np.resize(wanted, len(row))[:, None] for key, row in answers.items()
        }
        readings[kind] = {key: float(row[:, SETTLED:].mean()) for key, row in right[kind].items()}
    return {
        "readings": readings,
        "recordings of int8": plain["recordings"],
        "answers of int8": plain["answers"],
        "right after": {
            "int8": plain["after"],
            "no network": right["no network"]["as recorded"].sum(0)[4::5].tolist(),
        },
    }


def main():
    """Measure, write and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=HERE)
    out = parser.parse_args().out
    with tempfile.TemporaryDirectory() as work:
        found = measured(Path(work))
    (out / "results.json").write_text(json.dumps(found, indent=1) + "\n")
    (out / "activity.svg").write_text(picture(found))
    for kind, row in found["readings"].items():
        print(f"{kind:18}", *(f"{name} {value:.3f}  " for name, value in row.items()))


if __name__ == "__main__":
    main()
