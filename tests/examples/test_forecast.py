"""The forecast of riders: its figures, the worker without packages, and partitions in Dask."""

from __future__ import annotations

import http.client
import json
import re
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest

from tests.support.examples import modules

FOLDER = Path(__file__).parents[2] / "examples" / "forecast"
MODULES = ("days", "measure", "partitions", "picture", "scores", "server")
PAGE = (FOLDER / "README.md").read_text(encoding="utf-8")
RESULTS = json.loads((FOLDER / "results.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def example() -> dict[str, Any]:
    """The example's own modules."""
    return modules(FOLDER, *MODULES)


@pytest.fixture(scope="module")
def forecasts(example: dict[str, Any]) -> Any:
    """What the NumPy file forecasts for all stations."""
    found = example["partitions"].forecast(example["measure"].frame())
    return found.set_index(["station", "date"]).sort_index()


# ---- what README says ---------------------------------------------------------------------------


def test_the_generated_file_is_as_accurate_as_the_page_says(example: dict[str, Any]) -> None:
    found = example["measure"].accuracy()
    rows = re.findall(
        r"^\| ([^|]+?) \| ([\d.]+) % \| ([\d.]+) % \| ([\d.]+) % \|$", PAGE, re.MULTILINE
    )
    assert [name for name, *_ in rows] == list(found["errors"])
    for name, *figures in rows:
        wanted = [float(figure) for figure in figures]
        assert found["errors"][name] == pytest.approx(wanted, abs=0.051), name
    words = " ".join(PAGE.split())
    assert f"{found['inside']:.0f} % of the days" in words
    assert f"{found['unusual']:.1f} % of the days" in words
    for key in ("errors", "inside", "unusual", "days"):
        assert found[key] == RESULTS[key]


def test_the_picture_is_of_the_results(example: dict[str, Any]) -> None:
    drawn = example["picture"].draw(RESULTS["picture"])
    assert drawn == (FOLDER / "riders.svg").read_text(encoding="utf-8")


def test_times_on_the_page_are_those_kept() -> None:
    times = RESULTS["times"]
    many, keras = (times[name]["64"] for name in ("NumPy file", "Keras"))
    words = " ".join(PAGE.split())
    assert f"{times['request']} ms" in words
    assert f"{many / keras:.1f} times as many as Keras" in words
    assert f"starts in {times['start']:.1f} s" in words
    assert f"taken {times['Keras start']} s to start" in words
    for name in ("NumPy file", "Keras"):
        one, many = (f"{times[name][key]:,}" for key in ("1", "64"))
        assert f"| {one} | {many} |" in PAGE, name


def test_holidays_are_those_of_the_years_of_the_test(example: dict[str, Any]) -> None:
    holiday = example["days"].holiday
    kinds: dict[int, list[str]] = {1: [], 2: [], 3: []}
    for n in range(365):
        day = date(2015, 1, 1) + timedelta(n)
        if holiday(day):
            kinds[holiday(day)].append(f"{day.month}/{day.day}")
    assert kinds == {
        1: ["1/1", "5/25", "7/4", "9/7", "11/26", "12/25"],
        2: ["1/19", "2/16", "7/3", "11/27", "12/24", "12/31"],
        3: ["1/2", "12/26", "12/27", "12/28", "12/29", "12/30"],
    }


# ---- the worker ---------------------------------------------------------------------------------


class Client:
    """One connection for each request, as wsgiref's server wants it."""

    def __init__(self, address: str) -> None:
        self.address = urlsplit(address).netloc

    def __call__(self, method: str, path: str, body: str = "", **headers: str) -> tuple[int, Any]:
        connection = http.client.HTTPConnection(self.address, timeout=20)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            text = answer.read()
            return answer.status, json.loads(text) if text else None
        finally:
            connection.close()

    def days(self, path: str, days: Any) -> tuple[int, Any]:
        return self("POST", path, json.dumps({"days": days}))


@pytest.fixture
def worker() -> Iterator[Client]:
    """A worker process on the loopback interface: no packages, no environment."""
    command = [sys.executable, "-I", "-S", "-B", str(FOLDER / "server.py"), "0"]
    with subprocess.Popen(
        command, env={}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        yield Client(process.stdout.readline().strip())
        process.terminate()
        assert not process.stderr.read()


def station_days(example: dict[str, Any], number: int) -> tuple[str, list[list[Any]]]:
    """The name of a station, and its days as a request has them."""
    dates, names, riders = example["scores"].read()
    return names[number], [
        [day.isoformat(), int(count)] for day, count in zip(dates, riders[number], strict=True)
    ]


def test_stations_of_a_worker_are_forecast_as_in_a_partition(
    worker: Client, example: dict[str, Any], forecasts: Any
) -> None:
    stations = [station_days(example, number) for number in (0, 6, 12)]
    for first, last in ((0, 55), (55, 56), (56, 100), (100, 101)):  # of each, then the next of each
        for name, days in stations:
            status, answer = worker.days(f"/stations/{name}", days[first:last])
            assert status == 200
            if last < 56:
                assert answer["tomorrow"] is None
                continue
            wanted = forecasts.loc[name, days[last][0]]
            assert answer["tomorrow"]["date"] == days[last][0]
            for key in ("low", "likely", "high"):
                assert answer["tomorrow"][key] == pytest.approx(wanted[key], abs=0.6)
            far = forecasts.loc[name].loc[days[first][0] : days[last - 1][0]]
            assert answer["unusual"] == [str(day.date()) for day in far.index[far["unusual"]]]
    assert any(day == "2014-01-06" for day, _ in stations[0][1][56:100])  # a day that was unusual
    name = stations[0][0]
    assert worker("DELETE", f"/stations/{name}") == (204, None)
    assert worker("DELETE", f"/stations/{name}")[0] == 404


def test_a_worker_refuses_and_goes_on(worker: Client, example: dict[str, Any]) -> None:
    name, days = station_days(example, 3)
    path = f"/stations/{name}"
    assert worker.days(path, days[:56])[0] == 200
    day = days[56][0]
    bad = [
        [[day, -1]],
        [[day, 1.5]],
        [[day, True]],
        [[day, 10**8]],
        [[day, "1"]],
        [["2014-13-01", 1]],
        [["9999-12-31", 1]],
        [[day]],
        [day],
        [],
        1,
        {"a": 1},
    ]
    bodies = [json.dumps({"days": value}) for value in bad]
    bodies += ["[]", "{", "[" * 5000, "", f'{{"days": [["{day}", NaN]]}}']
    for body in bodies:
        assert worker("POST", path, body)[0] == 400, body
    # A good day before a bad one leaves no trace.
    assert worker.days(path, [days[56], days[58]])[0] == 409
    status, answer = worker.days(path, days[57:58])
    assert status == 409
    assert day in answer["error"]
    long = [[(date(2000, 1, 1) + timedelta(n)).isoformat(), 1] for n in range(1001)]
    assert worker.days("/stations/long", long)[0] == 413
    for length in ("1000000000", "-1", "many"):
        assert worker("POST", path, "", **{"Content-Length": length})[0] == 413
    assert worker("GET", path)[0] == 405
    for other in ("/stations/../../etc/passwd", "/stations/", "/", f"/stations/{'x' * 65}"):
        assert worker.days(other, days[56:57])[0] == 404
    assert worker.days(path, days[56:58])[0] == 200


def test_a_worker_outlives_clients_that_go_away(worker: Client) -> None:
    address, port = worker.address.split(":")
    head = b"POST /stations/a HTTP/1.1\r\nContent-Length: 100\r\n\r\n"
    for sent in (b"", b"POST /sta", head + b'{"da'):
        with socket.create_connection((address, int(port))) as client:
            client.sendall(sent)
            # closes with a reset, as a client does that ends without a word
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert worker("DELETE", "/stations/a")[0] == 404


def test_a_body_that_does_not_come_is_refused(example: dict[str, Any]) -> None:
    class Silent:
        def read(self, size: int) -> bytes:
            raise TimeoutError

    server = example["server"]
    with pytest.raises(server.Refused, match="408"):
        server.days_of({"CONTENT_LENGTH": "5", "wsgi.input": Silent()})


def test_stations_are_bounded_and_idle_ones_make_room(example: dict[str, Any]) -> None:
    server, now = example["server"], [0.0]
    stations = server.Stations(limit=2, idle=10, clock=lambda: now[0])
    first = date(2016, 1, 1)
    for name in ("a", "b"):
        stations.run(name, [(first, 100)])
    with pytest.raises(server.Refused, match="no room"):
        stations.run("c", [(first, 100)])
    now[0] = 9.0
    stations.run("a", [(first + timedelta(1), 100)])
    now[0] = 12.0  # the second has been idle for 12 seconds, the first for 3
    stations.run("c", [(first, 100)])
    assert set(stations.saved) == {"a", "c"}
    with pytest.raises(server.Refused, match="no such station"):
        stations.close("b")


@pytest.mark.parametrize("event", ["open", "import", "os.system", "subprocess.Popen", "exec"])
def test_the_lock_holds(event: str, example: dict[str, Any]) -> None:
    with pytest.raises(PermissionError, match=event):
        example["server"].lock(event, ())


# ---- partitions ---------------------------------------------------------------------------------


def test_dask_forecasts_what_one_frame_does(tmp_path: Path, forecasts: Any) -> None:
    import pandas as pd

    program, table, out = FOLDER / "partitions.py", FOLDER / "rides.csv", tmp_path / "out.csv"
    command = [sys.executable, "-B", str(program), "dask", str(table), str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"{len(forecasts)} days forecast" in done.stdout
    found = pd.read_csv(out, parse_dates=["date"]).set_index(["station", "date"])
    assert found.index.equals(forecasts.index)
    for key in ("riders", "low", "likely", "high"):
        np.testing.assert_allclose(found[key], forecasts[key], atol=0.6)
    assert (found["unusual"] == forecasts["unusual"]).all()


class Spark:
    """What is asked of a Spark frame: each partition comes in several frames, or none."""

    def __init__(self, *partitions: list[Any]) -> None:
        self.partitions = partitions

    def repartition(self, column: str) -> Spark:
        assert column == "station"
        return self

    def mapInPandas(self, function: Any, schema: str) -> list[Any]:  # noqa: N802 (Spark's name)
        frames = [frame for part in self.partitions for frame in function(iter(part))]
        names = [column.split()[0] for column in schema.split(", ")]
        assert all(list(frame.columns) == names for frame in frames)
        return frames


def test_spark_is_given_whole_stations(example: dict[str, Any], forecasts: Any) -> None:
    frame = example["measure"].frame()
    days = frame[frame["station"].isin(["Polk", "Austin"])]
    found = example["partitions"].with_spark(Spark([days[:500], days[500:]], []))
    assert len(found) == 1
    wanted = forecasts.loc[["Austin", "Polk"]]
    np.testing.assert_allclose(found[0]["likely"], wanted["likely"], rtol=1e-5)


def test_a_partition_takes_rows_in_any_order_and_stations_of_any_length(
    example: dict[str, Any], forecasts: Any
) -> None:
    frame, forecast = example["measure"].frame(), example["partitions"].forecast
    one, other = (frame[frame["station"] == name] for name in ("Clinton", "Monroe"))
    import pandas as pd

    mixed = pd.concat([one, other[:70], one.assign(station="short")[:40]])
    found = forecast(mixed.sample(frac=1, random_state=0)).set_index(["station", "date"])
    assert found.groupby("station").size().to_dict() == {"Clinton": 957, "Monroe": 14}
    wanted = forecasts.loc[found.index]
    np.testing.assert_allclose(found["likely"], wanted["likely"], rtol=1e-5)


@pytest.mark.parametrize("drop", [[5], []])
def test_a_partition_with_days_missing_or_twice_is_refused(
    drop: list[int], example: dict[str, Any]
) -> None:
    frame = example["measure"].frame()
    days = frame[frame["station"] == "Polk"].drop(index=drop)
    import pandas as pd

    days = days if drop else pd.concat([days, days[:1]])
    with pytest.raises(ValueError, match="Polk: days are missing, or there twice"):
        example["partitions"].forecast(days)
