"""Trains the model that writes names, and saves it with its data.

train.py [--out DIR] [--names CSV]

The names are those of the package Faker (MIT). A CSV file of your own has a line `language,name`
for each. One name in ten is kept for the test. A name that several languages have is in one part
for all of them.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import importlib
import json
import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import numpy as np
from keras import layers

LISTS = {
    "English": ("en_US", "en_GB", "en_NZ"),
    "Finnish": ("fi_FI",),
    "French": ("fr_FR", "fr_BE"),
    "Icelandic": ("is_IS",),
    "Indonesian": ("id_ID",),
    "Italian": ("it_IT",),
    "Spanish": ("es_ES", "es_CL"),
    "Turkish": ("tr_TR",),
}
LONGEST = 12  # letters of a name
RAREST = 4  # a letter that fewer names have is left out with them
UNITS = 64
EPOCHS = 40
REQUIRED = 3.06  # bits a character on the names of the test; README.md says what was reached
END = "\n"  # comes before the first letter and after the last

Names = list[tuple[str, str]]  # language, name in lower case


def shipped() -> Names:
    """The given names of one word that Faker has in these languages."""
    found = set()
    for language, locales in LISTS.items():
        for locale in locales:
            provider = importlib.import_module(f"faker.providers.person.{locale}").Provider
            for kind in ("first_names_female", "first_names_male", "first_names"):
                # a list is a property where it is made of the others
                names = vars(provider).get(kind, ())
                if not isinstance(names, property):
                    found |= {(language, lower(language, name)) for name in names}
    return sorted(found)


def lower(language: str, name: str) -> str:
    """The name in lower case; Turkish has two letters i."""
    if language == "Turkish":
        name = name.replace("İ", "i").replace("I", "\u0131")
    return name.lower()


def capital(letter: str) -> str:
    """The capital; a letter whose capital would be two, such as that of German, stays small."""
    return letter.upper() if len(letter.upper()) == 1 else letter


def own(path: Path) -> Names:
    """The names of a file with lines of language,name."""
    with path.open(encoding="utf-8-sig", newline="") as file:  # spreadsheets write a mark first
        rows = [[cell.strip() for cell in row] for row in csv.reader(file) if row]
    wrong = next((row for row in rows if len(row) != 2), None)
    if wrong:
        sys.exit(f"{path}: expected language,name, found {','.join(wrong)}")
    return sorted({(language, lower(language, name)) for language, name in rows})


def usable(names: Names) -> Names:
    """The names of letters alone, none of them too rare, that are not too long."""
    names = [(language, name) for language, name in names if name.isalpha()]
    count = Counter(letter for _, name in names for letter in name)
    return [
        (language, name)
        for language, name in names
        if len(name) <= LONGEST and all(count[letter] >= RAREST for letter in name)
    ]


def tenth(name: str) -> int:
    """Which tenth of the names this one is in: 0 is the test, and 1 chose the settings."""
    return int(hashlib.sha256(name.encode()).hexdigest(), 16) % 10


def arrays(names: Names, letters: str, languages: list[str]) -> tuple[Any, ...]:
    """Letters before, languages, letters to come, and 1 where there is one to come."""
    x = np.zeros((len(names), LONGEST + 1), np.int32)
    y = np.zeros_like(x)
    spoken = np.zeros((*x.shape, len(languages)), np.float32)
    weight = np.zeros(x.shape, np.float32)
    for row, (language, name) in enumerate(names):
        word = [letters.index(letter) for letter in name]
        x[row, 1 : len(word) + 1] = word
        y[row, : len(word)] = word
        spoken[row, :, languages.index(language)] = 1
        weight[row, : len(word) + 1] = 1
    return x, spoken, y, weight


def network(letters: str, languages: list[str]) -> keras.Model:
    """The letter before and shares of languages in, probabilities of the next letter out."""
    letter = keras.Input((None,), dtype="int32", name="letter")
    language = keras.Input((None, len(languages)), name="language")
    x = layers.Embedding(len(letters), 16, name="embedding")(letter)
    x = layers.Concatenate(name="both")([x, language])
    x = layers.GRU(UNITS, return_sequences=True, name="gru")(x)
    x = layers.Dropout(0.2, name="dropout")(x)
    x = layers.Dense(len(letters), activation="softmax", name="next")(x)
    return keras.Model([letter, language], x, name="names")


def trained(names: Names, letters: str, languages: list[str]) -> keras.Model:
    """A network that has learned these names."""
    keras.utils.set_random_seed(1)
    model = network(letters, languages)
    x, spoken, y, weight = arrays(names, letters, languages)
    # A language of many names counts for more, but not by as much as it has more.
    count = Counter(language for language, _ in names)
    share = np.array([count[language] ** -0.5 for language, _ in names])
    weight *= (share / share.mean())[:, None]
    rate = keras.optimizers.schedules.CosineDecay(4e-3, EPOCHS * max(1, len(names) // 64))
    model.compile(
        keras.optimizers.AdamW(rate, weight_decay=1e-3),
        "sparse_categorical_crossentropy",
        weighted_metrics=[],
    )
    model.fit([x, spoken], y, sample_weight=weight, batch_size=64, epochs=EPOCHS, verbose=0)
    return keras.Model(model.inputs, model.outputs, name=model.name)  # without the optimizer


def bits(model: keras.Model, names: Names, letters: str, languages: list[str]) -> float:
    """Cross-entropy in bits a character, the end of each name counted as one."""
    x, spoken, y, weight = arrays(names, letters, languages)
    found = model.predict([x, spoken], batch_size=256, verbose=0)
    p = np.take_along_axis(found, y[..., None], 2)[..., 0]
    return float((-np.log2(p) * weight).sum() / weight.sum())


def write_csv(path: Path, names: Names) -> None:
    """Write a line for each name."""
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(names)


def main() -> None:
    """Train, measure, write."""
    parser = argparse.ArgumentParser(description="Train the model that writes names.")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    parser.add_argument("--names", type=Path, help="lines of language,name instead of Faker's")
    options = parser.parse_args()
    names = usable(own(options.names) if options.names else shipped())
    letters = END + "".join(sorted({letter for _, name in names for letter in name}))
    languages = sorted({language for language, _ in names})
    train = [pair for pair in names if tenth(pair[1]) > 0]
    test = [pair for pair in names if tenth(pair[1]) == 0]
    if not train or not test:
        sys.exit(f"{len(names)} usable names are too few: some hundreds are needed")
    model = trained(train, letters, languages)
    reached = bits(model, test, letters, languages)
    print(f"{len(train)} names to learn, {len(test)} to test, {len(letters)} letters")
    print(f"test: {reached:.3f} bits a character")
    model.save(options.out / "names.keras")
    write_csv(options.out / "train.csv", train)
    write_csv(options.out / "test.csv", test)
    alphabet = {
        "letters": letters,
        "capitals": "".join(capital(letter) for letter in letters),
        "languages": languages,
    }
    text = json.dumps(alphabet, ensure_ascii=False, indent=2)
    (options.out / "alphabet.json").write_text(f"{text}\n", encoding="utf-8")
    if not options.names and reached > REQUIRED:
        sys.exit(f"{reached:.3f} bits a character: more than {REQUIRED}")


if __name__ == "__main__":
    main()
