"""A worker process that forecasts tomorrow's riders of many stations, over HTTP.

    env -i python3 -I -S server.py 8000

It needs Python 3.9 and two files beside it, days.py and forecast_plain.py: no package (-S), no
variable of the environment and no folder of the user (-I), no framework, no model file. What it
knows of a station is 32 numbers, the state of the model. One Model serves all stations: each
request loads the state of its station, takes its steps, and keeps the state again.

    POST   /stations/NAME  {"days": [["2016-08-14", 5627], ...]}
                           200 {"tomorrow": {"date": DAY, "low": N, "likely": N, "high": N},
                                "unusual": [days of the request far from their forecast]}
                           409 where the days do not go on from those before
    DELETE /stations/NAME  204

A new station, or any after the worker was started anew, is sent the days of at least eight weeks;
before that "tomorrow" is null. The worker answers one request at a time, so a slow client holds up
the others. Put it behind a proxy that knows who may ask and passes on whole requests. For more,
start several there; a station must always be sent to the same one.

Everything that a client can make grow has a limit: stations, bytes of a request, days of a request.
After loading, the worker gives up what it does not need: files, imports, programs and connections.
Python's audit hook does that. It catches mistakes; against hostile code, use the sandbox of the
operating system.
"""

import json
import sys
import time
import traceback  # the standard library imports it when a request fails
from datetime import date, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

sys.path.insert(0, str(Path(__file__).resolve().parent))  # which -I leaves out

from days import HISTORY, inputs, riders, unusual
from forecast_plain import Model

LIMIT_STATIONS = 1000
LIMIT_BYTES = 64 * 1024
LIMIT_DAYS = 1000
LIMIT_RIDERS = 10**7
IDLE_SECONDS = 30 * 24 * 3600
FORBIDDEN = ("open", "import", "exec", "compile", "socket.connect", "subprocess.Popen", "os.")


class Station(NamedTuple):
    """The last day of a station, how many days are known, the forecast, and the model's state."""

    last: Any
    known: int
    forecast: Any
    state: Any


class Refused(Exception):
    """An answer that is not 200: a status line and what to tell the client."""


class Stations:
    """What is known of each station by its name; idle ones make room for new ones."""

    def __init__(self, limit=LIMIT_STATIONS, idle=IDLE_SECONDS, clock=time.monotonic):
        self.model = Model()
        self.new = Station(None, 0, None, self.model.get_state())
        self.limit, self.idle, self.clock = limit, idle, clock
        self.saved = {}  # name: (time of the last use, Station), the longest idle first

    def run(self, name, days):
        """The answer for more days of a station; after an error it stands where it stood."""
        if name not in self.saved:
            self._make_room()
        last, known, forecast, state = self.saved[name][1] if name in self.saved else self.new
        self.model.set_state(state)
        far = []
        for day, count in days:
            if known and day != last + timedelta(1):
                raise Refused("409 Conflict", f"expected {last + timedelta(1)}, found {day}")
            if known >= HISTORY and unusual(count, *forecast):
                far.append(day.isoformat())
            forecast = [riders(level) for level in self.model.step(inputs(day, count))]
            last, known = day, known + 1
        self.saved.pop(name, None)
        station = Station(last, known, forecast, self.model.get_state())
        self.saved[name] = (self.clock(), station)
        if known < HISTORY:
            return {"tomorrow": None, "unusual": far}
        low, likely, high = map(round, forecast)
        tomorrow = {"date": (last + timedelta(1)).isoformat()}
        return {
            "tomorrow": {**tomorrow, "low": low, "likely": likely, "high": high},
            "unusual": far,
        }

    def close(self, name):
        """Forget a station."""
        if self.saved.pop(name, None) is None:
            raise Refused("404 Not Found", "no such station")

    def _make_room(self):
        for name, (used, _) in list(self.saved.items()):
            if self.clock() - used < self.idle:
                break
            del self.saved[name]
        if len(self.saved) >= self.limit:
            raise Refused("503 Service Unavailable", "no room for another station")


class Application:
    """The WSGI application, for this file's own server or any other."""

    def __init__(self, stations):
        self.stations = stations

    def __call__(self, environ, start_response):
        """Answer one request."""
        try:
            status, answer = self.answer(environ)
        except Refused as refused:
            status, answer = refused.args[0], {"error": refused.args[1]}
        body = b"" if answer is None else json.dumps(answer).encode()
        headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
        start_response(status, headers)
        return [body]

    def answer(self, environ):
        """The status line and what goes into the body."""
        place = environ["PATH_INFO"].strip("/").split("/")
        if len(place) != 2 or place[0] != "stations" or not 0 < len(place[1]) <= 64:
            raise Refused("404 Not Found", "POST or DELETE /stations/NAME")
        if environ["REQUEST_METHOD"] == "POST":
            return "200 OK", self.stations.run(place[1], list(days_of(environ)))
        if environ["REQUEST_METHOD"] == "DELETE":
            self.stations.close(place[1])
            return "204 No Content", None
        raise Refused("405 Method Not Allowed", "POST or DELETE /stations/NAME")


def days_of(environ):
    """The days in the body of a request, as dates and numbers of riders."""
    try:
        size = int(environ.get("CONTENT_LENGTH") or 0)
    except ValueError:
        size = -1
    if not 0 <= size <= LIMIT_BYTES:
        raise Refused("413 Content Too Large", f"at most {LIMIT_BYTES} bytes")
    try:
        body = environ["wsgi.input"].read(size)
    except OSError:  # the client fell silent, or is gone
        raise Refused("408 Request Timeout", f"expected {size} bytes") from None
    try:
        found = json.loads(body.decode())["days"]
        days = [(date.fromisoformat(day), count) for day, count in found]
    except (ValueError, KeyError, TypeError, RecursionError):
        days = []
    if not days:
        raise Refused("400 Bad Request", 'expected {"days": [["YYYY-MM-DD", riders], ...]}')
    if len(days) > LIMIT_DAYS:
        raise Refused("413 Content Too Large", f"at most {LIMIT_DAYS} days")
    for day, count in days:
        if type(count) is not int or not 0 <= count <= LIMIT_RIDERS:
            raise Refused("400 Bad Request", f"expected 0 to {LIMIT_RIDERS} riders")
        if not 1900 <= day.year <= 2999:
            raise Refused("400 Bad Request", "expected the years 1900 to 2999")
    return days


class Handler(WSGIRequestHandler):
    """A client that falls silent is dropped after ten seconds."""

    timeout = 10

    def log_message(self, *args):
        """Nothing."""


class Server(WSGIServer):
    """A client that is dropped, or goes away, ends its own request and no other."""

    def handle_error(self, request, client_address):
        """Print what went wrong here; what went wrong there is nothing new."""
        if not isinstance(sys.exc_info()[1], OSError):
            traceback.print_exc()


def lock(event, args):
    """Refuse what a worker that only computes has no need of."""
    if event.startswith(FORBIDDEN):
        raise PermissionError(f"not in this worker: {event}")


def main(port):
    """Serve on the loopback interface until interrupted; port 0 takes a free one."""
    application = Application(Stations())
    with make_server("127.0.0.1", port, application, Server, Handler) as server:
        print(f"http://127.0.0.1:{server.server_port}", flush=True)
        "".encode("idna")  # what the standard library would import at the first request
        sys.addaudithook(lock)
        server.serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 8000)
