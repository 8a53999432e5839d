"""A running app on a free port of this machine, and a browser that notes every request and every
complaint.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from tests.tiny_detector import make_detector

ROOT = Path(__file__).parents[2]
CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
]


@contextmanager
def serving(tmp_path_factory, folder: Path | str) -> Iterator[str]:
    """The address of the app while it runs with a detector's folder as its default, "-" for the shipped one."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = (tmp_path_factory.mktemp("log") / "server.txt").open("w")
    server = subprocess.Popen(
        [sys.executable, str(ROOT / "tests/browser/serve.py"), str(port), str(folder)],
        cwd=ROOT,
        stdout=log,
        stderr=subprocess.STDOUT,
        env=os.environ | {"OMP_NUM_THREADS": "1", "EARWITNESS_HOME": str(tmp_path_factory.mktemp("home"))},
    )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_for(url, server)
        yield url
    finally:
        server.terminate()
        server.wait(10)


@pytest.fixture(scope="session")
def app_url(tmp_path_factory):
    """The address of the app, started with a tiny detector."""
    folder = make_detector(
        tmp_path_factory.mktemp("models") / "tiny",
        entropy_band_bits=np.array([15.5, 17.2]),
        low_entropy_bits=np.array([16.6]),
    )
    with serving(tmp_path_factory, folder) as url:
        yield url


def _wait_for(url: str, server: subprocess.Popen) -> None:
    for _ in range(240):
        if server.poll() is not None:
            raise RuntimeError("the app did not start")
        try:
            urllib.request.urlopen(f"{url}/_stcore/health", timeout=1)
            return
        except OSError:
            time.sleep(0.25)
    raise RuntimeError("the app did not answer")


@pytest.fixture(scope="session")
def chromium():
    sync_api = pytest.importorskip("playwright.sync_api")
    if not Path(CHROMIUM).exists():
        pytest.skip("Debian's chromium is not installed")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


def _complains(message) -> bool:
    """An error on the console, except that Streamlit looks for its server below a page's own address
    first.
    """
    return message.type == "error" and "/_stcore/" not in message.location.get("url", "")


@pytest.fixture
def page(chromium, app_url):
    """A fresh page; afterwards nothing may have left the machine and nothing may have been complained
    about.
    """
    context = chromium.new_context(viewport={"width": 1280, "height": 900}, permissions=["microphone"])
    page = context.new_page()
    page.set_default_timeout(45_000)
    page.set_default_navigation_timeout(120_000)  # the first page of a cold server on a busy machine
    requests, complaints = [], []
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: complaints.append(message.text) if _complains(message) else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(app_url)
    yield page
    context.close()
    away = [
        url
        for url in requests
        if not url.startswith((app_url, "data:", "blob:", app_url.replace("http", "ws")))
    ]
    assert not away, "nothing may leave the machine"
    assert not complaints
