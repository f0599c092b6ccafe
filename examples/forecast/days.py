"""What the model takes and gives for a day, in Python without libraries.

The server, the partitions and the training share this file: if one of them computed an input in
another way, the forecasts would be wrong in silence.
"""

import math
from datetime import date, timedelta
from functools import cache

QUANTILES = (0.05, 0.5, 0.95)  # what the model gives: low, likely, high
FEWEST = 20.0  # a closed station counts as this many riders, since zero has no logarithm
HISTORY = 56  # days until forecasts count: eight weeks
UNUSUAL = 2.5  # how often farther from the likely number than the end of the range


def level(riders):
    """Riders as the model takes them: the logarithm of thousands."""
    return math.log(max(riders, FEWEST) / 1000.0)


def riders(level):
    """What `level` was made of."""
    return 1000.0 * math.exp(level)


def calendar(day):
    """Ten numbers that are known ahead: the weekday, Monday first, and the kind of holiday."""
    numbers = [0.0] * 10
    numbers[day.weekday()] = 1.0
    kind = holiday(day)
    if kind:
        numbers[6 + kind] = 1.0
    return numbers


def inputs(day, count):
    """One step of the model: the riders of a day, and what is known of the next."""
    return [level(count)] + calendar(day + timedelta(1))


def unusual(count, low, likely, high):
    """Whether a day is far out of what was forecast for it."""
    end = high if count > likely else low
    return abs(count - likely) > UNUSUAL * abs(end - likely)


def holiday(day):
    """0 for none, 1 where trains run as on Sundays, 2 for half a holiday, 3 around Christmas."""
    return holidays(day.year).get(day, 0)


@cache
def holidays(year):
    """The holidays of a year and their kinds."""
    last_of_may = date(year, 5, 31)
    thanksgiving = weekday(year, 11, 3, 4)
    sundays = [
        date(year, 1, 1),
        last_of_may - timedelta(last_of_may.weekday()),
        date(year, 7, 4),
        weekday(year, 9, 0, 1),
        thanksgiving,
        date(year, 12, 25),
    ]
    halves = [
        weekday(year, 1, 0, 3),
        weekday(year, 2, 0, 3),
        thanksgiving + timedelta(1),
        date(year, 12, 24),
        date(year, 12, 31),
    ]
    # Offices close on the Friday before, or the Monday after, a holiday at the weekend.
    halves += [each - timedelta(1) for each in sundays if each.weekday() == 5]
    halves += [each + timedelta(1) for each in sundays if each.weekday() == 6]
    kinds = {date(year, month, day): 3 for month, day in CHRISTMAS}
    kinds.update((each, 2) for each in halves)
    kinds.update((each, 1) for each in sundays)
    return kinds


CHRISTMAS = [(12, 26), (12, 27), (12, 28), (12, 29), (12, 30), (1, 2)]


def weekday(year, month, which, count):
    """The first, second, ... Monday (0) to Sunday (6) of a month."""
    first = date(year, month, 1)
    return first + timedelta((which - first.weekday()) % 7 + 7 * (count - 1))
