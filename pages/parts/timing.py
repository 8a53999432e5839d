"""How long the pages take: run in a process of its own by `python -m core bench`, prints seconds as JSON.

    python -m pages.parts.timing first          the first page, once, as the server runs it for a first visitor
    python -m pages.parts.timing pages MODEL    the pages of an examined recording, three times over
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

APP = Path(__file__).resolve().parents[2] / "app.py"


def first() -> dict[str, float]:
    """Seconds for importing and for the first page."""
    began = time.perf_counter()
    from streamlit.testing.v1 import AppTest

    imported = time.perf_counter()
    at = AppTest.from_file(str(APP), default_timeout=60).run()
    done = time.perf_counter()
    assert not at.exception, at.exception
    return {"import_s": imported - began, "first_s": done - imported}


def pages(model: str) -> dict[str, float]:
    """Opens a minute of sound, waits for its examination by ``model``, goes through the pages: the slowest, first and
    again.
    """
    import hashlib

    from streamlit.testing.v1 import AppTest

    import models.registry
    from core import jobs
    from core.commands.speechlike import speechlike, wav_bytes

    models.registry.DEFAULT_MODEL = model
    data = wav_bytes(speechlike(60.0))
    at = AppTest.from_file(str(APP), default_timeout=120).run()
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
    return {"first_s": max(rounds[0]), "again_s": max(max(times) for times in rounds[1:])}


if __name__ == "__main__":
    print(json.dumps(first() if sys.argv[1] == "first" else pages(sys.argv[2])))
