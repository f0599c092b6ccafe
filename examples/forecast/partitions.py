"""Forecast a data frame of many stations, partition by partition.

    python partitions.py dask rides.csv forecasts.csv
    python partitions.py spark rides.csv forecasts.csv

`forecast` takes the pandas frame of a partition and returns one, so it works with any map over
partitions. Workers need NumPy, pandas and two files, days.py and forecast_numpy.py, which
`client.upload_file` sends to a cluster of Dask, and `sparkContext.addPyFile` to one of Spark.
"""

import os
import sys
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
from days import FEWEST, HISTORY, UNUSUAL, calendar
from forecast_numpy import Model

BATCH = 64  # stations that are computed side by side
SCHEMA = (
    "station string, date timestamp, riders long, "
    "low double, likely double, high double, unusual boolean"
)


def forecast(days):
    """The days of a partition, each with what was forecast for it on the day before.

    A row is a station, a date and the riders. All days of a station are in one partition, in any
    order; its first HISTORY days are what the first forecast is made of, and are not returned.
    """
    days = days.sort_values(["station", "date"], ignore_index=True)
    dates = days["date"].to_numpy().astype("datetime64[D]")
    riders = days["riders"].to_numpy()
    ranges = np.full((len(days), 3), np.nan)
    together = {}  # the rows of stations whose days are the same
    for name, rows in days.groupby("station", observed=True).indices.items():
        if (np.diff(dates[rows]) != np.timedelta64(1, "D")).any():
            raise ValueError(f"{name}: days are missing, or there twice")
        together.setdefault((dates[rows[0]].item(), len(rows)), []).append(rows)
    for (first, _), stations in together.items():
        for start in range(0, len(stations), BATCH):
            rows = np.stack(stations[start : start + BATCH])
            ranges[rows[:, HISTORY:]] = ahead(first, riders[rows])[:, HISTORY - 1 : -1]
    low, likely, high = ranges.T
    far = np.abs(riders - likely) > UNUSUAL * np.abs(np.where(riders > likely, high, low) - likely)
    found = days.assign(low=low, likely=likely, high=high, unusual=far)
    return found[~np.isnan(likely)]


def ahead(first, riders):
    """What is forecast after each day: an array of station, day, and low, likely or high."""
    known = [calendar(first + timedelta(n + 1)) for n in range(riders.shape[1])]
    levels = np.log(np.maximum(riders, FEWEST) / 1000)[:, :, None]
    steps = np.concatenate([levels, np.broadcast_to(known, (*riders.shape, 10))], axis=2)
    return 1000 * np.exp(Model(batch=len(riders)).predict(steps).astype(float))


def with_dask(days):
    """The forecasts of a Dask frame: a station's rows come into one partition first."""
    meta = forecast(days.partitions[0].head(0))
    return days.shuffle("station").map_partitions(forecast, meta=meta)


def with_spark(days):
    """The forecasts of a Spark frame, likewise."""

    def partition(frames):
        frames = list(frames)
        if frames:
            yield forecast(pd.concat(frames))

    return days.repartition("station").mapInPandas(partition, SCHEMA)


def main(engine, table, out):
    """Run on this machine alone, from a table with a column for each station."""
    days = pd.read_csv(table, parse_dates=["date"])
    days = days.melt("date", var_name="station", value_name="riders")[["station", "date", "riders"]]
    if engine == "dask":
        import dask.dataframe

        frame = dask.dataframe.from_pandas(days, npartitions=8)
        found = with_dask(frame).compute(scheduler="processes")
    else:
        from pyspark.sql import SparkSession

        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
        spark = SparkSession.builder.master("local[2]").getOrCreate()
        for name in ("days.py", "forecast_numpy.py"):  # what the workers need
            spark.sparkContext.addPyFile(str(Path(__file__).with_name(name)))
        found = with_spark(spark.createDataFrame(days)).toPandas()
        spark.stop()
    found = found.sort_values(["station", "date"])
    found.to_csv(out, index=False, float_format="%.0f")
    print(f"{len(found)} days forecast, {found['unusual'].sum()} of them unusual")


if __name__ == "__main__":
    main(*sys.argv[1:])
