"""How the panel's error rate moves when held-out clips are degraded, and where it would abstain instead.

One fold of the declared partition, by the panel that never heard its sources; the share of clips on which the quality
checks, or the traces of what they have been through, refuse a finding is counted beside the error rate. Takes minutes, so
it is asked for by number of clips.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from core.training import robustness
from core.training.corpus import FOLDS, Clip, load_views, split
from core.training.panel_runs import score_samples
from core.training.panel_traces import bears_traces, by_turns, recognisers_alone
from models.panel import Panel

FOLD = 3  # has speech, conversion, text to speech and vocoders


def robustness_rows(work: Path, clips: Sequence[Clip], panel: Panel, limits: np.ndarray, zero: float, n: int, key: str,
                    say: Callable[[str], None]) -> dict:
    """The card's entry: up to ``n`` clips of each class of fold ``FOLD``, every condition. ``panel``: that fold's;
    ``limits``: of its traces (3,); ``zero``: the score that says nothing.
    """
    _, test = split(clips, FOLDS[FOLD])
    rng = np.random.default_rng(0)
    chosen = [c for label in (True, False) for c in by_turns([c for c in test if c.bonafide == label], n, rng)]

    def load(clip: Clip) -> np.ndarray:
        return load_views(work, clip)[0].astype(np.float32) / 32768.0

    items = [robustness.TestClip(c.clip, c.bonafide, (c.speaker or c.clip) if c.bonafide else c.system,
                                 lambda c=c: load(c)) for c in chosen]

    alone = recognisers_alone(panel)

    def scorer(samples: np.ndarray) -> tuple[float, bool]:
        refused = refuses(samples) or bears_traces(alone, samples, limits)
        return (float("nan"), True) if refused else (score_samples(panel, samples)[0], False)

    def progress(done: int, total: int) -> None:
        if done % 500 == 0 or done == total:
            say(f"robustness: {done} of {total}")

    rows = robustness.robustness_table(scorer, items, key=key, scores=work / "panel" / "robustness.csv",
                                       zero=zero, on_progress=progress)
    return robustness.to_card(rows) | {"clips": f"{len(chosen)} clips of fold {FOLD + 1} of the declared partition"}


def refuses(samples: np.ndarray) -> bool:
    """Whether the quality checks would keep an examination from a finding."""
    import soundfile as sf

    from core.audio import read_recording
    from core.errors import EarwitnessError
    from core.quality import measure_quality

    file = io.BytesIO()
    sf.write(file, samples, 16_000, format="WAV", subtype="FLOAT")
    try:
        return bool(measure_quality(read_recording(file.getvalue(), "degraded.wav")).fatal)
    except EarwitnessError:
        return True
