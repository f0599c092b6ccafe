"""Chromium without a window: pages served from here, what they report, and how they look."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

CHROMIUM = """chromium --headless --no-sandbox --disable-gpu --disable-quic --no-first-run
    --disable-background-networking --disable-component-update --disable-sync""".split()
PATIENCE = 300  # seconds: a browser is slow to start where every core is busy


class Server(ThreadingHTTPServer):
    """Serves a folder, keeps what is asked for, and waits for what its page reports."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        self.found: Any = None
        self.done = threading.Event()
        self.asked: list[str] = []
        server = self

        class Handler(SimpleHTTPRequestHandler):
            def __init__(self, *arguments: Any) -> None:
                super().__init__(*arguments, directory=str(folder))

            def do_GET(self) -> None:
                server.asked.append(self.path)
                super().do_GET()

            def do_POST(self) -> None:
                server.found = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(204)
                self.end_headers()
                server.done.set()

            def log_message(self, *_: Any) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)

    def url(self, page: str) -> str:
        """The address of a file in the folder."""
        return f"http://127.0.0.1:{self.server_port}/{page}"


@contextmanager
def serving(folder: Path) -> Iterator[Server]:
    """The folder, served for as long as it is needed."""
    with Server(folder) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def reported(server: Server, page: str, profile: Path) -> Any:
    """What the page posts once a browser has opened it."""
    command = [*CHROMIUM, f"--user-data-dir={profile}", "--remote-debugging-port=0"]
    browser = subprocess.Popen([*command, server.url(page)], stderr=subprocess.DEVNULL)
    try:
        assert server.done.wait(PATIENCE), "the page has not reported"
    finally:
        browser.terminate()
        browser.wait()
    return server.found


def screenshot(
    url: str, picture: Path, profile: Path, size: tuple[int, int], *, dark: bool
) -> None:
    """How the page looks in a window of so many pixels."""
    scheme = "--blink-settings=preferredColorScheme=" + ("0" if dark else "1")
    window = f"--window-size={size[0]},{size[1]}"
    looks = [scheme, "--hide-scrollbars", window, f"--screenshot={picture}"]
    subprocess.run(
        [*CHROMIUM, f"--user-data-dir={profile}", *looks, url],
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        check=True,
        timeout=PATIENCE,
    )
