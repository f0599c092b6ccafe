"""One worker process that runs a generated model for many sessions over HTTP.

    PYTHONPATH=../seed python server.py 8000

It needs NumPy, the standard library and the generated file seed_numpy.py, but no framework and no
model file. A session is 192 numbers: its saved state. One Model serves all sessions, because each
request loads the state of its session, computes, and saves the state again. The worker answers one
request at a time. For more, start several behind a proxy that always sends a session to the same
one.

    POST   /sessions                         201 {"session": ID}    503 when all are in use
    POST   /sessions/ID  {"x": [[4 numbers], ...]}   200 {"y": [[2 numbers], ...]}
    DELETE /sessions/ID                      204

Everything that a client can make grow has a limit: sessions, bytes of a request, steps of a
request. After loading, the worker gives up what it does not need: files, imports, programs and
connections. Python's audit hook does that. It catches mistakes; against hostile code, use the
sandbox of the operating system.
"""

import json
import secrets
import sys
import time
from wsgiref.simple_server import WSGIRequestHandler, make_server

import numpy as np
from seed_numpy import Model

LIMIT_SESSIONS = 1000
LIMIT_BYTES = 64 * 1024
LIMIT_STEPS = 500
IDLE_SECONDS = 600
FORBIDDEN = ("open", "import", "exec", "compile", "socket.connect", "subprocess.Popen", "os.")


class Refused(Exception):
    """An answer that is not 200: a status line and what to tell the client."""


class Sessions:
    """Saved states by a name that cannot be guessed; idle ones make room for new ones."""

    def __init__(self, limit=LIMIT_SESSIONS, idle=IDLE_SECONDS, clock=time.monotonic):
        self.model = Model()
        self.limit, self.idle, self.clock = limit, idle, clock
        self.saved = {}  # name: (time of the last use, state), the longest idle first

    def open(self):
        """The name of a new session."""
        for name, (used, state) in list(self.saved.items()):
            if self.clock() - used < self.idle:
                break
            del self.saved[name]
        if len(self.saved) >= self.limit:
            raise Refused("503 Service Unavailable", "all sessions are in use")
        name = secrets.token_urlsafe(16)
        self.model.reset()
        self.saved[name] = (self.clock(), self.model.get_state())
        return name

    def run(self, name, x):
        """The outputs for some more steps of a session; after an error it stands where it stood."""
        state = self._take(name)[1]
        try:
            self.model.set_state(state)
            with np.errstate(all="ignore"):
                y = self.model.predict(x)
            if not np.isfinite(y).all():  # from NaN or infinity in x, which a state never loses
                raise ValueError("expected finite numbers")
            state = self.model.get_state()
        except (TypeError, ValueError, OverflowError) as error:
            raise Refused("400 Bad Request", str(error))
        finally:
            self.saved[name] = (self.clock(), state)
        return y

    def close(self, name):
        """Forget a session."""
        self._take(name)

    def _take(self, name):
        if name not in self.saved:
            raise Refused("404 Not Found", "no such session")
        return self.saved.pop(name)


class Application:
    """The WSGI application, for this file's own server or any other."""

    def __init__(self, sessions):
        self.sessions = sessions

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
        request = environ["REQUEST_METHOD"], len(place)
        if place[0] == "sessions" and request == ("POST", 1):
            return "201 Created", {"session": self.sessions.open()}
        if place[0] == "sessions" and request == ("POST", 2):
            return "200 OK", {"y": self.sessions.run(place[1], steps(environ)).tolist()}
        if place[0] == "sessions" and request == ("DELETE", 2):
            self.sessions.close(place[1])
            return "204 No Content", None
        raise Refused("404 Not Found", "POST /sessions, POST or DELETE /sessions/ID")


def steps(environ):
    """The list of steps in the body of a request."""
    try:
        size = int(environ.get("CONTENT_LENGTH") or 0)
    except ValueError:
        size = -1
    if not 0 <= size <= LIMIT_BYTES:
        raise Refused("413 Content Too Large", "at most %d bytes" % LIMIT_BYTES)
    try:
        x = json.loads(environ["wsgi.input"].read(size).decode())["x"]
        count = len(x)
    except (ValueError, KeyError, TypeError, RecursionError):
        raise Refused("400 Bad Request", 'expected {"x": [[4 numbers], ...]}')
    if count > LIMIT_STEPS:
        raise Refused("413 Content Too Large", "at most %d steps" % LIMIT_STEPS)
    return x


class Handler(WSGIRequestHandler):
    """A client that falls silent is dropped after ten seconds."""

    timeout = 10

    def log_message(self, *args):
        """Nothing, since requests name sessions."""


def lock(event, args):
    """Refuse what a worker that only computes has no need of."""
    if event.startswith(FORBIDDEN):
        raise PermissionError("not in this worker: %s" % event)


def main(port):
    """Serve on the loopback interface until interrupted; port 0 takes a free one."""
    with make_server("127.0.0.1", port, Application(Sessions()), handler_class=Handler) as server:
        print("http://127.0.0.1:%d" % server.server_port, flush=True)
        "".encode("idna")  # what the standard library would import at the first request
        sys.addaudithook(lock)
        server.serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 8000)
