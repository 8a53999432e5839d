"""Two people's voices from the bundled examples, at 16 kHz; neither was trained on by the speaker networks."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture(scope="session")
def two_voices() -> tuple[torch.Tensor, torch.Tensor]:
    """(woman, man), each (n,) float32, at most twelve seconds."""
    from core.audio import read_recording

    def voice(name: str) -> torch.Tensor:
        return torch.from_numpy(read_recording(EXAMPLES / name).samples[: 12 * 16_000].copy())

    return voice("real-woman.flac"), voice("real-man.m4a")
