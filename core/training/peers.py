"""Published AASIST networks on the very clips that our figures are from, as their authors would have run them.

Files are heard as they are, at their own level and bandwidth: 64,600 samples, shorter ones repeated; of a longer one the
first and the last, and the mean of both. The score is the bona fide logit less the other.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from core.training.corpus import Clip, load_audio, write_csv
from core.training.measure import HeldOut, summary


def peer_rows(files: Sequence[Path], corpus: Path, clips: Sequence[Clip], work: Path, say: Callable[[str], None]) -> dict:
    """The card's entry: name -> pooled and macro EER with intervals, by family. Scores are kept under ``work``."""
    found = {}
    for path in files:
        held = HeldOut(clips, _kept_scores(path, corpus, clips, work, say))
        full = summary(held)
        found[f"{path.stem} (not trained here)"] = {k: full[k] for k in ("eer_pooled", "eer_macro", "eer_by_family")}
    return found


def _kept_scores(path: Path, corpus: Path, clips: Sequence[Clip], work: Path, say: Callable[[str], None]
                 ) -> dict[str, float]:
    kept = work / "peers" / f"{path.stem}.csv"
    if not kept.exists():
        kept.parent.mkdir(exist_ok=True)
        scores = scores_of(path, [corpus / c.file for c in clips], say)
        rows = [{"clip": c.clip, "score": repr(s)} for c, s in zip(clips, scores, strict=True)]
        write_csv(kept, rows, ["clip", "score"])
    with kept.open(newline="", encoding="utf-8") as file:
        return {row["clip"]: float(row["score"]) for row in csv.DictReader(file)}


def scores_of(weights: Path, sounds: Sequence[Path], say: Callable[[str], None] = lambda text: None) -> list[float]:
    """One score per sound file, higher for bona fide. Raises ValueError where the weights aren't an AASIST's."""
    import torch
    from safetensors.torch import load_file

    from models.aasist import N_SAMPLES, build_aasist
    from models.panel import computes_bfloat16

    network, found = build_aasist(load_file(weights)), []
    with torch.inference_mode():
        for done, sound in enumerate(sounds, 1):
            x = load_audio(sound)
            pieces = [np.resize(x, N_SAMPLES)] if len(x) <= N_SAMPLES else [x[:N_SAMPLES], x[-N_SAMPLES:]]
            wav = torch.from_numpy(np.stack(pieces))
            with torch.autocast("cpu", torch.bfloat16, enabled=computes_bfloat16(wav)):
                logits = network(wav).float()
            found.append(float((logits[:, 1] - logits[:, 0]).mean()))
            if done % 500 == 0:
                say(f"{weights.stem}: {done} of {len(sounds)}")
    return found
