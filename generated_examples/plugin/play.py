"""Play a plucked string through the plug-in, and draw what went in and what came out.

python play.py BUNDLE PICTURE.svg: BUNDLE is what make has built; the sounds go beside it.
"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import string_sound
from string_sound import RATE

URI = "urn:rnn-codegen:amp"
SECONDS = 0.5
WIDTH, HEIGHT, LEFT = 880, 240, 56  # of one panel, and where its axis stands
COLOURS = {"string": "#1d4ed8", "amplifier": "#f59e0b"}


def play(bundle):
    """Both sounds: lv2apply runs the plug-in, one of many hosts that could."""
    given, found = bundle / "string.wav", bundle / "amp.wav"
    string_sound.write(given, string_sound.pluck(110, SECONDS, 5))
    path = os.pathsep.join([str(bundle.resolve().parent), "/usr/lib/lv2"])
    command = ["lv2apply", "-i", given, "-o", found, URI]
    subprocess.run(command, check=True, env={**os.environ, "LV2_PATH": path})
    return string_sound.read(given), string_sound.read(found)


def panel(top, title, start, stop, sounds, marks):
    """Both sounds between two times in seconds, over each other."""
    middle, high, wide = top + HEIGHT / 2, HEIGHT / 2 - 24, WIDTH - LEFT - 16
    lines = [f'<text x="{LEFT}" y="{top + 14}" font-weight="bold">{title}</text>']
    for value in (-1, 0, 1):
        y = middle - value * high
        lines.append(f'<path d="M{LEFT} {y}H{LEFT + wide}" stroke="#d9dee3"/>')
        lines.append(f'<text x="{LEFT - 8}" y="{y + 4}" text-anchor="end">{value}</text>')
    for mark in marks:
        x = LEFT + (mark - start) / (stop - start) * wide
        label = f"{1000 * mark:.0f} ms"
        lines.append(
            f'<text x="{x:.0f}" y="{top + HEIGHT - 4}" text-anchor="middle">{label}</text>'
        )
    first, last = int(start * RATE), int(stop * RATE)
    for name, sound in sounds.items():
        runs = np.array_split(sound[first:last], min(wide // 2, last - first))
        low, up = ([f"{middle - high * end(run):.1f}" for run in runs] for end in (np.min, np.max))
        points = [f"{LEFT + wide * n / len(runs):.1f} {y}" for n, y in enumerate(up)]
        if len(runs[0]) > 8:  # too many to be seen: what lies between the lowest and the highest
            points = [f"{point}V{y}" for point, y in zip(points, low, strict=True)]
        path = "M" + "L".join(points)
        lines.append(f'<path d="{path}" fill="none" stroke="{COLOURS[name]}" stroke-width="1.2"/>')
    return lines


def picture(string, amplifier):
    """An SVG: the whole note above, a few periods of it below."""
    sounds = {"amplifier": amplifier, "string": string}
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {2 * HEIGHT + 40}" '
        'font-family="sans-serif" font-size="12" fill="#333">',
        "<title>A plucked string, and what the generated amplifier makes of it</title>",
        f'<rect width="{WIDTH}" height="{2 * HEIGHT + 40}" fill="#fff"/>',
    ]
    marks = np.arange(0, SECONDS + 0.01, 0.1)
    lines += panel(28, "the whole note", 0, SECONDS, sounds, marks[1:-1])
    marks = np.arange(0.05, 0.0801, 0.005)
    lines += panel(HEIGHT + 36, "30 ms of it", 0.05, 0.08, sounds, marks[1:-1])
    for number, (name, colour) in enumerate(COLOURS.items()):
        x = WIDTH - 240 + 110 * number
        lines.append(f'<path d="M{x} 14h22" stroke="{colour}" stroke-width="3"/>')
        lines.append(f'<text x="{x + 28}" y="18">{name}</text>')
    return "\n".join([*lines, "</svg>", ""])


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(picture(*play(Path(sys.argv[1]))), encoding="utf-8")
