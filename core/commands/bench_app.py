"""How fast the app starts: part of `python -m core bench`. Drives the app from outside, in processes
of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

from core.commands.bench import ROOT, Line
from core.errors import EarwitnessError

# Runs the page script once as the server would for a first visitor, in a fresh interpreter.
_FIRST_PAGE = """
import time, json
began = time.perf_counter()
from streamlit.testing.v1 import AppTest
imported = time.perf_counter()
at = AppTest.from_file("app.py", default_timeout=60).run()
done = time.perf_counter()
assert not at.exception, at.exception
again = time.perf_counter()
at.run()
print(json.dumps({"import_s": imported - began, "first_s": done - imported, "again_s": time.perf_counter() -
again}))
"""


def app_lines(options: argparse.Namespace) -> Iterator[Line]:
    """Server start, first run of the first page, and a rerun of it, each with a warm disk cache."""
    if not (ROOT / "app.py").exists():
        return
    server = min(start_server() for _ in range(1 if options.quick else 2))
    page = first_page()
    yield Line("app, until the server serves its page", server, "s")
    yield Line("app, first run of the first page", page["first_s"], "s")
    yield Line("app, cold start to first page", server + page["first_s"], "s", 10.0)
    yield Line("app, first page once more", 1000 * page["again_s"], "ms", 300.0)


def first_page() -> dict[str, float]:
    """Seconds that the first page's script takes in a fresh process."""
    done = subprocess.run(
        [sys.executable, "-c", _FIRST_PAGE],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    if done.returncode:
        raise EarwitnessError(f"The first page could not be measured: {done.stderr.strip()[-300:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def start_server() -> float:
    """Seconds from the command until the app's page and its health check are served."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.headless", "true"]
    command += ["--server.port", str(port), "--server.address", "127.0.0.1"]
    began = time.perf_counter()
    server = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ | {"CI": "1"}
    )
    try:
        for path in ("_stcore/health", ""):
            _wait_for(f"http://127.0.0.1:{port}/{path}", server)
        return time.perf_counter() - began
    finally:
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()


def _wait_for(url: str, server: subprocess.Popen) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for _ in range(1200):
        try:
            with opener.open(url, timeout=5) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            if server.poll() is not None:
                break
            time.sleep(0.05)
    raise EarwitnessError("The app did not start; run it by hand to see why.")
