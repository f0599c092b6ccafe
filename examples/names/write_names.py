"""Writes names, in MicroPython or any other Python.

write_names.py [LANGUAGE [COUNT [TEMPERATURE [SEED [START]]]]], such as Finnish 10 0.8 1 Ma.
Finnish+Italian is half of each.
"""

import json
import math
import sys

from names_plain import Model

with open("alphabet.json", encoding="utf-8") as file:
    ALPHABET = json.load(file)
LETTERS = ALPHABET["letters"]  # the first one stands before a name and after it
CAPITALS = ALPHABET["capitals"]
LANGUAGES = ALPHABET["languages"]
LONGEST = 20


class Dice:
    """Random numbers from 0 to 1 (xorshift, 32 bits), the same in every language."""

    def __init__(self, seed):
        self.state = (seed * 2654435761 & 0xFFFFFFFF) or 1

    def roll(self):
        """Return the next number."""
        x = self.state
        x ^= x << 13 & 0xFFFFFFFF
        x ^= x >> 17
        x ^= x << 5 & 0xFFFFFFFF
        self.state = x
        return x / 4294967296


def shares(languages):
    """The input `language`: equal shares of the languages in "Finnish+Italian"."""
    wanted = [LANGUAGES.index(name) for name in languages.split("+")]
    return [wanted.count(index) / len(wanted) for index in range(len(LANGUAGES))]


def drawn(probabilities, temperature, dice):
    """An index: above a temperature of 1 the rare come more often, below it the likely."""
    weights = [p ** (1 / temperature) for p in probabilities]
    left = dice.roll() * sum(weights)
    for index, weight in enumerate(weights):
        left -= weight
        if left < 0:
            return index
    return 0


def name(model, language, temperature, dice, start=""):
    """One name in lower case that begins with `start`."""
    model.reset()
    found = [LETTERS.index(letter) for letter in start]
    p = model.step(0, language)
    for letter in found:
        p = model.step(letter, language)
    while len(found) < LONGEST:
        letter = drawn(p, temperature, dice)
        if letter == 0:
            break
        found.append(letter)
        p = model.step(letter, language)
    return "".join([LETTERS[letter] for letter in found])


def titled(text, languages):
    """The name with a capital. MicroPython's own upper() knows ASCII alone."""
    if text[:1] == "i" and languages == "Turkish":
        return "İ" + text[1:]
    return "".join([CAPITALS[LETTERS.index(letter)] for letter in text[:1]]) + text[1:]


def bits(model, language, text):
    """What each letter of a name and its end take, in bits: -log2 of their probability."""
    model.reset()
    letter, found = 0, []
    for following in [LETTERS.index(letter) for letter in text] + [0]:
        p = model.step(letter, language)[following]
        found.append(-math.log(max(p, 1e-9)) / math.log(2))
        letter = following
    return found


def main(languages=LANGUAGES[0], count="10", temperature="0.8", seed="1", start=""):
    """Print so many names."""
    model, dice = Model(), Dice(int(seed))
    for _ in range(int(count)):
        found = name(model, shares(languages), float(temperature), dice, start.lower())
        print(titled(found, languages))


if __name__ == "__main__":
    main(*sys.argv[1:])
