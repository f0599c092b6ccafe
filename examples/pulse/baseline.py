"""What the network is compared with: an adaptive threshold, as sketches for pulse sensors have it.

`python baseline.py` looks for its four numbers anew, on persons as the network was trained with.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from detect import RATE, Array, judged

SMOOTH, LEVEL, FORGET, QUIET = 0.075, 0.621, 3.557, 0.303  # the best of 300, see main()


def beats(
    counts: npt.ArrayLike,
    smooth: float = SMOOTH,
    level: float = LEVEL,
    forget: float = FORGET,
    quiet: float = QUIET,
) -> Array:
    """The samples of the beats: the peaks in the slope of the smoothed signal.

    A peak is a beat if it is higher than `level` of what beats were lately, and comes later than
    `quiet` of the usual interval after the last one. The height of beats fades within `forget`
    seconds.
    """
    numbers = np.asarray(counts, float)
    keep, fade = np.exp(-1 / (smooth * RATE)), np.exp(-1 / (forget * RATE))
    once = twice = before = numbers[0]
    slope = earlier = height = 0.0
    interval, last = 0.6 * RATE, -RATE
    found: list[float] = []
    for i, count in enumerate(numbers):
        once = keep * once + (1 - keep) * count
        twice = keep * twice + (1 - keep) * once
        later, before = twice - before, twice
        since = i - 1 - last
        if earlier < slope >= later and slope > level * height and since > quiet * interval:
            found.append(i - 1 - smooth * RATE)  # what the filters delay a rise
            interval += 0.2 * (min(max(since, 0.3 * RATE), 1.5 * RATE) - interval)
            height, last = max(height, 0.7 * height + 0.3 * slope), i - 1
        height *= fade
        earlier, slope = slope, later
    return np.array(found)


def main() -> None:
    """Print the numbers that find most on 40 training persons, and what they find."""
    from simulate import person  # needs scipy

    persons = [person(np.random.default_rng([1, k]), 60, motion=k % 2 == 1) for k in range(40)]
    true = [beats for _, beats in persons]
    rng = np.random.default_rng(0)
    best = 0.0
    for _ in range(300):
        numbers = (
            *(float(np.exp(rng.uniform(np.log(0.01), np.log(0.1)))), float(rng.uniform(0.2, 0.9))),
            *(float(np.exp(rng.uniform(np.log(0.5), np.log(6)))), float(rng.uniform(0.2, 0.75))),
        )
        result = judged([beats(counts, *numbers) for counts, _ in persons], true)
        if result.f1 > best:
            best = result.f1
            print(" ".join(f"{number:.3f}" for number in numbers), result, flush=True)


if __name__ == "__main__":
    main()
