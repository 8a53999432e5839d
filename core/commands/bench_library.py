"""Speed of the reference library, as ratios within one run: part of `python -m core bench`.

Vectors for the large search are random; the rest uses the shipped library and made-up clips.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from core.commands.bench import MINUTE, Line, bare, interleaved, window_batches

if TYPE_CHECKING:
    import numpy as np

    from models.registry import Detector

SEGMENTS = 100_000
K = 10


def library_lines(options: argparse.Namespace, detector: Detector) -> Iterator[Line]:
    """All lines about retrieval, building and the map."""
    yield from retrieval_lines(options, detector)
    yield from search_lines(options)
    yield from build_lines(options, detector)
    yield from map_lines()


def retrieval_lines(options: argparse.Namespace, detector: Detector) -> Iterator[Line]:
    """A minute examined with neighbours and both scores that retrieve, against the same without them."""
    from core.commands.speechlike import speechlike, wav_bytes
    from core.detectors.rad import names, retrieval_detector
    from core.examine import examine, forget
    from core.library import open_library
    from core.library.compare import View, compare, encoded, measure

    data, library = wav_bytes(speechlike(MINUTE)), open_library()
    detectors = [retrieval_detector(name, detector, library) for name in names()]

    def without():
        forget()
        return examine(data, "minute.wav", model=options.model, device=options.device)

    def answer(encoding) -> None:
        view, query = View(library), measure(encoding, library)
        compare(query, view)
        for one in detectors:
            one.score_view(query, view)

    def whole() -> None:
        answer(encoded(without().recording, detector))

    times = interleaved({"bare": lambda: without(), "whole": whole}, 3 if options.quick else 7)
    yield Line("60 s, examined with retrieval over without", times["ratio"], "x", 1.2)
    encoding = encoded(without().recording, detector)
    times = interleaved({"bare": lambda: answer(encoding), "whole": lambda: answer(encoding)}, 3)
    yield Line("60 s, retrieval alone once encoded without adapters", times["whole"], "s")


def search_lines(options: argparse.Namespace) -> Iterator[Line]:
    """One query over 100,000 segments in every layer, exact, against the same searches by FAISS alone."""
    import faiss
    import numpy as np

    from core.library import open_library
    from core.library.geometry import unit
    from core.retrieve import LayerIndex

    layers, width = open_library().segments.vectors.shape[1:]
    rng = np.random.default_rng(0)
    made = [unit(rng.normal(size=(SEGMENTS, width)).astype(np.float32)) for _ in range(layers)]
    ours = [LayerIndex(vectors) for vectors in made]
    theirs = []
    for vectors in made:
        theirs.append(faiss.IndexFlatIP(width))
        theirs[-1].add(vectors)
    queries = made[0][:1]
    times = interleaved({
        "bare": lambda: [index.search(queries, K) for index in theirs],
        "whole": lambda: [index.search(queries, K) for index in ours],
    }, 5 if options.quick else 20)  # fmt: skip
    yield Line(f"query over {SEGMENTS} segments x {layers} layers", 1000 * times["whole"], "ms")
    yield Line("query, exact and repeatable over bare FAISS", times["ratio"], "x", 1.5)


def build_lines(options: argparse.Namespace, detector: Detector) -> Iterator[Line]:
    """A library of 8 s clips from files, against the bare encoder over the same windows; then four times as many."""
    import numpy as np

    from core.commands.speechlike import speechlike, wav_bytes
    from core.library import open_library
    from core.library.build import build
    from core.library.records import Wanted

    n = 32 if options.quick else 128
    base = [speechlike(8.0, seed) for seed in range(16)]
    geometry = open_library().geometry
    with tempfile.TemporaryDirectory(prefix="earwitness-bench-") as folder:
        items = []
        for i in range(4 * n):  # the same few passages at other levels: other bytes, the same work
            path = Path(folder) / f"{i:05d}.wav"
            path.write_bytes(wav_bytes(_level(base[i % 16], i)))
            items.append(Wanted(path, {"name": path.name, "label": "bonafide" if i % 2 else "spoof"}))
        windows = np.concatenate([np.concatenate(window_batches(base[i % 16])) for i in range(n)])
        batches = [windows[i : i + 8] for i in range(0, len(windows), 8)]
        turn = iter(range(10_000))

        def whole() -> None:
            build(Path(folder) / f"library{next(turn)}", items[:n], detector, geometry=geometry)

        def large() -> None:
            build(Path(folder) / f"library{next(turn)}", items, detector, geometry=geometry)

        times = interleaved({"bare": lambda: bare(detector, batches), "whole": whole}, 1 if options.quick else 3)
        growth = interleaved({"bare": whole, "whole": large}, 1)
    yield Line(f"library of {n} clips built over bare encoder", times["ratio"], "x", 1.3)
    yield Line(f"library of {4 * n} clips, time per clip over that of {n}", growth["ratio"] / 4, "x", 1.2)


def _level(samples: np.ndarray, i: int) -> np.ndarray:
    return samples * (0.5 + 0.001 * i)


def map_lines() -> Iterator[Line]:
    """Placing a minute's windows on the frozen map, first and warm."""
    from core.library import open_library
    from core.project import load_map, place

    library = open_library()
    began = time.perf_counter()
    found, vectors = load_map(library), library.segments.vectors[:15, 0] * 0.999
    place(found, library, vectors, 0)
    yield Line("60 s placed on the map, first time", 1000 * (time.perf_counter() - began), "ms")
    times = interleaved({"bare": lambda: place(found, library, vectors, 0),
                         "whole": lambda: place(found, library, vectors, 0)}, 5)  # fmt: skip
    yield Line("60 s placed on the map, warm", 1000 * times["whole"], "ms", 100.0)
