"""What write_names.py and names_plain.py reach, in MicroPython or any other Python: score.py."""

import time

from names_plain import Model
from write_names import LANGUAGES, Dice, bits, name, shares

EACH = 100  # names to write in each language


def read(path):
    """The pairs of language and name in a file."""
    with open(path, encoding="utf-8") as file:
        return [line.strip().split(",") for line in file]


def main():
    """Print bits a character, its time in the fastest name, and how many names written are new."""
    model = Model()
    test = read("test.csv")
    count, total, fastest = 0, 0.0, 1.0
    for language, text in test:
        start = time.time()
        found = bits(model, shares(language), text)
        fastest = min(fastest, (time.time() - start) / len(found))
        count += len(found)
        total += sum(found)
    print(f"{len(test)} names, {count} characters")
    print(f"{total / count:.3f} bits a character, {1e6 * fastest:.0f} us each")
    known = {text for _, text in read("train.csv")}
    dice = Dice(1)
    new = 0
    for language in LANGUAGES:
        for _ in range(EACH):
            new += name(model, shares(language), 0.8, dice) not in known
    written = EACH * len(LANGUAGES)
    print(f"{100 * new / written:.0f} % of {written} names are new")


if __name__ == "__main__":
    main()
