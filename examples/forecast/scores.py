"""The table of riders, and how far forecasts are off, beside what needs no model."""

import csv
from datetime import date, timedelta
from pathlib import Path

import numpy as np
from days import HISTORY, holiday

TABLE = Path(__file__).with_name("rides.csv")


def read(path=TABLE):
    """The dates, the names of the stations, and the riders: a row for each station."""
    with Path(path).open(encoding="utf-8", newline="") as file:
        head, *rows = csv.reader(file)
    dates = [date.fromisoformat(row[0]) for row in rows]
    return dates, head[1:], np.array([row[1:] for row in rows], dtype=int).T


def error(actual, forecast):
    """The mean absolute error of each station, in percent of its mean number of riders."""
    return 100 * np.abs(actual - forecast).mean(axis=1) / actual.mean(axis=1)


def week_before(dates, riders):
    """The forecast of each day from HISTORY on: the same weekday of the week before."""
    return riders[:, HISTORY - 7 : -7]


def four_weeks(dates, riders):
    """Likewise the mean of the same weekday in the four weeks before."""
    parts = [riders[:, HISTORY - 7 * week : -7 * week] for week in (1, 2, 3, 4)]
    return np.mean(parts, axis=0)


def by_calendar(dates, riders):
    """Likewise, but minding holidays: one is like the last Sunday, and no other day is like one."""
    found = []
    for day in dates[HISTORY:]:
        if holiday(day) == 1:
            like = day - timedelta(day.weekday() + 1)
        else:
            like = day - timedelta(7)
            while holiday(like):
                like -= timedelta(7)
        found.append(riders[:, dates.index(like)])
    return np.stack(found, axis=1)


BASELINES = {
    "same weekday, week before": week_before,
    "the same, minding holidays": by_calendar,
    "mean of four weeks": four_weeks,
}
