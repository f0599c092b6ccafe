"""Measure the generated files, and write results.json and riders.svg.

    taskset -c 0 python measure.py --keras

taskset keeps all of it on one core. Without --keras the model is not timed in Keras.
"""

import argparse
import http.client
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pandas as pd
import partitions
import picture
import scores
from days import HISTORY

HERE = Path(__file__).parent
RESULTS = HERE / "results.json"
UNSEEN = ("Irving_Park", "Jefferson_Park", "Polk", "Quincy_Wells", "Western")
PICTURE = ("Quincy_Wells", "2014-12-08", "2015-03-01")
MANY = 6  # stations on one day


def frame():
    """The table as a frame with a row for each station and day."""
    dates, names, riders = scores.read()
    parts = [
        pd.DataFrame({"station": name, "date": pd.DatetimeIndex(dates), "riders": counts})
        for name, counts in zip(names, riders, strict=True)
    ]
    return pd.concat(parts)


def accuracy():
    """What the forecasts of the NumPy file are worth, in percent, and what they found."""
    dates, names, riders = scores.read()
    found = partitions.forecast(frame()).set_index(["station", "date"]).sort_index()
    likely = np.array([found.loc[name, "likely"] for name in names])
    actual, new = riders[:, HISTORY:], np.isin(names, UNSEEN)
    rows = {"forecast": likely}
    rows |= {name: line(dates, riders) for name, line in scores.BASELINES.items()}
    errors = {name: scores.error(actual, row) for name, row in rows.items()}
    inside = found["riders"].between(found["low"], found["high"])
    count = found["unusual"].groupby("date").sum()
    station, first, last = PICTURE
    part = found.loc[station].loc[first:last]
    return {
        "errors": {
            name: [round(each.mean(), 2), round(each[~new].mean(), 2), round(each[new].mean(), 2)]
            for name, each in errors.items()
        },
        "inside": round(100 * inside.mean(), 1),
        "unusual": round(100 * found["unusual"].mean(), 1),
        "days": {str(day.date()): int(n) for day, n in count[count >= MANY].items()},
        "picture": {
            "station": station.replace("_", "/"),
            "first": first,
            "unusual": np.flatnonzero(part["unusual"]).tolist(),
            **{key: part[key].round().astype(int).tolist() for key in picture.LINES},
        },
    }


class Worker:
    """The server in a process of its own, started as its page says."""

    def __enter__(self):
        start = time.perf_counter()
        command = [sys.executable, "-I", "-S", str(HERE / "server.py"), "0"]
        self.process = subprocess.Popen(command, env={}, stdout=subprocess.PIPE, text=True)
        self.address = urlsplit(self.process.stdout.readline().strip()).netloc
        self.start = time.perf_counter() - start
        return self

    def __call__(self, station, days):
        """Send days of a station; returns the answer."""
        connection = http.client.HTTPConnection(self.address, timeout=20)
        body = json.dumps({"days": [[day.isoformat(), int(count)] for day, count in days]})
        connection.request("POST", f"/stations/{station}", body)
        with connection.getresponse() as answer:
            return json.loads(answer.read())

    def __exit__(self, *error):
        self.process.terminate()
        self.process.wait()
        self.process.stdout.close()


def requests():
    """Milliseconds of a request with one day, and seconds from start to the first answer."""
    dates, names, riders = scores.read()
    with Worker() as worker:
        worker(names[0], zip(dates[:HISTORY], riders[0], strict=False))
        times = []
        for day in zip(dates[HISTORY:], riders[0, HISTORY:], strict=True):
            start = time.perf_counter()
            worker(names[0], [day])
            times.append(time.perf_counter() - start)
    calm = min(statistics.median(part) for part in np.array_split(times, 10))
    return {"request": round(1000 * calm, 2), "start": round(worker.start, 2)}


def rows_a_second(model, stations):
    """Rows of a partition of so many stations in a second of processor time."""
    few = frame()
    names = few["station"].unique()
    rows = [
        few[few["station"] == names[n % len(names)]].assign(station=f"{n:03}")
        for n in range(stations)
    ]
    days = pd.concat(rows)
    kept, partitions.Model = partitions.Model, model
    try:
        partitions.forecast(days)  # Keras compiles for each shape
        times = []
        for _ in range(10):
            start = time.process_time()
            partitions.forecast(days)
            times.append(time.process_time() - start)
    finally:
        partitions.Model = kept
    return 1000 * round(len(days) / min(times) / 1000)


def keras_model():
    """Keras in the place of the generated class, and the seconds until it has answered once."""
    start = time.process_time()
    import keras

    loaded = keras.models.load_model(HERE / "forecast.keras", compile=False)

    class Model:
        """The same model in Keras."""

        def __init__(self, batch):
            self.batch = batch

        def predict(self, x):
            """The outputs of a batch of sequences."""
            return loaded.predict(x, batch_size=self.batch, verbose=0)

    Model(1).predict(np.zeros((1, HISTORY, 11)))
    return Model, round(time.process_time() - start, 1)


def main():
    """Measure all, keep it, and draw."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--keras", action="store_true")
    wanted = parser.parse_args()
    results = accuracy()
    results["times"] = {
        **requests(),
        "NumPy file": {n: rows_a_second(partitions.Model, n) for n in (1, 64)},
    }
    if wanted.keras:
        model, seconds = keras_model()
        results["times"]["Keras"] = {n: rows_a_second(model, n) for n in (1, 64)}
        results["times"]["Keras start"] = seconds
    RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    (HERE / "riders.svg").write_text(picture.draw(results["picture"]), encoding="utf-8")
    shown = {key: value for key, value in results.items() if key != "picture"}
    print(json.dumps(shown, indent=1))


if __name__ == "__main__":
    main()
