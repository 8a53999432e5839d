"""Makes ``mean_bonafide.json`` beside this file: ``python -m core.attribute.mean_bonafide CORPUS``.

The corpus is a folder with a manifest.csv (columns file, label). Not needed to examine anything.
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path

import numpy as np


def mean_log_mel(files: list[Path]) -> tuple[np.ndarray, int]:
    """Mean Whisper log-mel over files, each about its own mean, [80]; and how many could be read."""
    import torch

    from core.audio import read_recording
    from core.errors import UnreadableAudio
    from models.frontend import whisper_log_mel

    total, count = np.zeros(80), 0
    for path in files:
        try:
            samples = np.array(read_recording(path).samples)
        except UnreadableAudio:
            continue
        if len(samples) < 8_000:
            continue
        with torch.inference_mode():
            mel = whisper_log_mel(torch.from_numpy(samples)[None])[0].numpy()  # (80, S)
        total += mel.mean(1) - mel.mean()
        count += 1
    return total / max(1, count), count


def main() -> None:
    """Read the corpus and write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", type=Path)
    corpus = parser.parse_args().corpus
    with (corpus / "manifest.csv").open(newline="", encoding="utf-8") as stream:
        files = [corpus / row["file"] for row in csv.DictReader(stream) if row["label"] == "bonafide"]
    values, count = mean_log_mel(sorted(files))
    text = {"what": "mean Whisper log-mel of bona fide speech, about its own mean", "clips": count,
            "log_mel": [round(float(v), 5) for v in values]}
    (Path(__file__).parent / "mean_bonafide.json").write_text(json.dumps(text) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
