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

TIMING = "pages.parts.timing"  # measures from inside, in a process of its own


def app_lines(options: argparse.Namespace) -> Iterator[Line]:
    """Server start, first run of the first page, and the pages of a computed case, with a warm disk cache."""
    if not (ROOT / "app.py").exists():
        return
    server = min(start_server() for _ in range(1 if options.quick else 2))
    page = in_fresh_process("first")
    yield Line("app, until the server serves its page", server, "s")
    yield Line("app, first run of the first page", page["first_s"], "s")
    yield Line("app, cold start to first page", server + page["first_s"], "s", 10.0)
    switch = in_fresh_process("pages", str(options.model))
    yield Line("app, slowest page of a computed case, first time", 1000 * switch["first_s"], "ms")
    yield Line("app, slowest page of a computed case, again", 1000 * switch["again_s"], "ms", 300.0)


def in_fresh_process(*arguments: str) -> dict[str, float]:
    """What the pages' own timing prints last, as JSON. Raises EarwitnessError where it fails."""
    command = [sys.executable, "-m", TIMING, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    if done.returncode:
        raise EarwitnessError(f"The pages could not be measured: {done.stderr.strip()[-300:]}")
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
