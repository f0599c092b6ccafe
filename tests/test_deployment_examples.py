"""The examples that put a generated NumPy file to work: a web worker, and a map over partitions."""

from __future__ import annotations

import http.client
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest

import codegen

EXAMPLES = Path(__file__).parents[1] / "generated_examples"
SERVER = EXAMPLES / "server" / "server.py"


def module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the generated seed_numpy.py is."""
    path = tmp_path_factory.mktemp("seed")
    model = codegen.read(EXAMPLES / "seed" / "seed.h5")
    (path / "seed_numpy.py").write_text(codegen.generate(model, "numpy", "seed_numpy"))
    return path


@pytest.fixture
def generated(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The generated module, as the examples import it."""
    found = module(folder / "seed_numpy.py")
    monkeypatch.setitem(sys.modules, "seed_numpy", found)
    return found


def recordings(count: int, seed: int = 0) -> list[Any]:
    draw = np.random.default_rng(seed)
    return [draw.normal(0, 0.5, (draw.integers(1, 5), 4)) for _ in range(count)]


# ---- the web worker -----------------------------------------------------------------------------


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


@pytest.fixture
def worker(folder: Path) -> Iterator[Client]:
    """A worker process on the loopback interface, in the folder of the generated file."""
    command = [sys.executable, str(SERVER), "0"]
    # With what NumPy's products go by, so that they give the same bits here and there.
    blas = {key: value for key, value in os.environ.items() if key.startswith(("OMP_", "OPENBLAS"))}
    environment = {**blas, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        yield Client(process.stdout.readline().strip())
        process.terminate()
        assert not process.stderr.read()


def agree(found: Any, wanted: Any) -> None:
    """The same but for rounding: BLAS sums in another order where memory is aligned otherwise."""
    np.testing.assert_allclose(np.float32(found), wanted, rtol=1e-6, atol=1e-6)


def test_sessions_of_a_worker_do_not_mix(worker: Client, generated: Any) -> None:
    clients = []
    for seed in range(3):
        status, answer = worker("POST", "/sessions")
        assert status == 201
        clients.append((f"/sessions/{answer['session']}", recordings(4, seed), generated.Model()))
    for turn in range(4):  # each session one request, then the next of each
        for path, parts, alone in clients:
            status, answer = worker("POST", path, json.dumps({"x": parts[turn].tolist()}))
            assert status == 200
            agree(answer["y"], alone.predict(parts[turn]))
    assert worker("DELETE", clients[0][0]) == (204, None)
    assert worker("POST", clients[0][0], '{"x": [[1, 2, 3, 4]]}')[0] == 404
    assert worker("POST", clients[1][0], '{"x": [[1, 2, 3, 4]]}')[0] == 200


def test_a_worker_refuses_and_goes_on(worker: Client, generated: Any) -> None:
    path = f"/sessions/{worker('POST', '/sessions')[1]['session']}"
    alone = generated.Model()
    step = json.dumps({"x": [[0.1, 0.2, 0.3, 0.4]]})
    bad = ['{"x": [[1, 2, 3]]}', '{"x": [["a", 1, 2, 3]]}', '{"x": [[1, 2, 3, 4], [1]]}']
    bad += ['{"x": []}', '{"x": 1}', '{"x": {"a": 1}}', "[]", "{", "[" * 5000, ""]
    bad += ['{"x": [[NaN, 0, 0, 0]]}', '{"x": [[1e999, 1e999, 1e999, 1e999]]}']
    for body in bad:
        assert worker("POST", path, body)[0] == 400, body
        found = np.float32(worker("POST", path, step)[1]["y"])
        agree(found, alone.predict([[0.1, 0.2, 0.3, 0.4]]))
    assert worker("POST", path, json.dumps({"x": [[0, 0, 0, 0]] * 501}))[0] == 413
    for length in ("1000000000", "-1", "many"):
        assert worker("POST", path, "", **{"Content-Length": length})[0] == 413
    assert worker("GET", path)[0] == 404
    assert worker("POST", "/sessions/../../etc/passwd", step)[0] == 404


def test_sessions_are_bounded_and_idle_ones_make_room(generated: Any) -> None:
    server, now = module(SERVER), [0.0]
    sessions = server.Sessions(limit=2, idle=10, clock=lambda: now[0])
    first, second = sessions.open(), sessions.open()
    with pytest.raises(server.Refused, match="in use"):
        sessions.open()
    now[0] = 9.0
    sessions.run(first, [[0.0, 0.0, 0.0, 0.0]])
    now[0] = 12.0  # the second has been idle for 12 seconds, the first for 3
    third = sessions.open()
    assert set(sessions.saved) == {first, third}
    with pytest.raises(server.Refused, match="no such session"):
        sessions.run(second, [[0.0, 0.0, 0.0, 0.0]])


@pytest.mark.parametrize("event", ["open", "import", "os.system", "subprocess.Popen", "exec"])
def test_the_lock_holds(event: str, generated: Any) -> None:
    with pytest.raises(PermissionError, match=event):
        module(SERVER).lock(event, ())


# ---- partitions -------------------------------------------------------------------------------


def alone(generated: Any, x: Any) -> float:
    return float(generated.Model().predict(x)[-1, 1])


@pytest.mark.parametrize(("batch", "waiting"), [(64, 1024), (4, 8), (1, 2), (7, 3)])
def test_partitions_score_as_single_models(generated: Any, batch: int, waiting: int) -> None:
    score = module(EXAMPLES / "partitions" / "score.py")
    vars(score).update(BATCH=batch, WAITING=waiting)
    rows = [(f"row {n}", x.tolist()) for n, x in enumerate(recordings(60))]
    parts = [rows[:0], rows[:1], rows[1:40], rows[40:]]
    found = [pair for part in parts for pair in score.score_partition(iter(part))]
    assert len(found) == len(rows)
    got = dict(found)
    for key, x in rows:
        assert got[key] == pytest.approx(alone(generated, x), abs=1e-6)


def test_a_partition_holds_few_rows_at_a_time(generated: Any) -> None:
    score = module(EXAMPLES / "partitions" / "score.py")
    vars(score).update(BATCH=4, WAITING=6)
    taken = [0]

    def rows() -> Iterator[tuple[int, Any]]:
        for n, x in enumerate(recordings(200)):
            taken[0] += 1
            yield n, x

    for given, _ in enumerate(score.score_partition(rows()), 1):
        assert taken[0] - given <= 6
