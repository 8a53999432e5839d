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
print(json.dumps({"import_s": imported - began, "first_s": done - imported}))
"""

# Opens a recording, waits for its examination, then goes through the pages twice: times of each run in
# seconds.
_PAGES = """
import hashlib, json, sys, time
from streamlit.testing.v1 import AppTest
import models.registry
models.registry.DEFAULT_MODEL = sys.argv[1]
from core import jobs
from core.commands.speechlike import speechlike, wav_bytes
data = wav_bytes(speechlike(60.0))
at = AppTest.from_file("app.py", default_timeout=120).run()
at.file_uploader[0].set_value([("minute.wav", data, "audio/wav")]).run()
digest = hashlib.sha256(data).hexdigest()
for _ in range(600):
    at.switch_page("pages/finding.py").run()
    job = jobs.find(("examine", digest, "auto"))
    if job is not None and job.ended:
        break
    time.sleep(0.1)
assert job is not None and job.state == "done", "the examination did not end"
rounds = []
for _ in range(3):
    times = []
    for page in ("intake", "finding", "frame_entropy"):
        began = time.perf_counter()
        at.switch_page(f"pages/{page}.py").run()
        times.append(time.perf_counter() - began)
        assert not at.exception, at.exception
    rounds.append(times)
print(json.dumps({"first_s": max(rounds[0]), "again_s": max(max(times) for times in rounds[1:])}))
"""


def app_lines(options: argparse.Namespace) -> Iterator[Line]:
    """Server start, first run of the first page, and the pages of a computed case, with a warm disk cache."""
    if not (ROOT / "app.py").exists():
        return
    server = min(start_server() for _ in range(1 if options.quick else 2))
    page = in_fresh_process(_FIRST_PAGE)
    yield Line("app, until the server serves its page", server, "s")
    yield Line("app, first run of the first page", page["first_s"], "s")
    yield Line("app, cold start to first page", server + page["first_s"], "s", 10.0)
    switch = in_fresh_process(_PAGES, str(options.model))
    yield Line("app, slowest page of a computed case, first time", 1000 * switch["first_s"], "ms")
    yield Line("app, slowest page of a computed case, again", 1000 * switch["again_s"], "ms", 300.0)


def in_fresh_process(script: str, *arguments: str) -> dict[str, float]:
    """What a script prints last, as JSON. Raises EarwitnessError where it fails."""
    command = [sys.executable, "-c", script, *arguments]
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
