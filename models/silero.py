"""Silero VAD: the probability of speech every 32 ms, whoever speaks. A reference on the same axis as SVVAD.

    wav (B, N) -> chunks of 512 samples, each with the 64 before it -> magnitudes -> convolutions -> LSTM -> (B, n)

Written for the weights of the package silero-vad 6.2.3 (16 kHz), kept in fp16; files through :func:`load_silero`.

Reference: Silero Team 2024, https://github.com/snakers4/silero-vad (MIT), version 6.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F

from models.frontend import HOP

CHUNK, CONTEXT, PAD = 512, 64, 64  # samples
BINS = 129
FILE = "silero.safetensors"


class Silero(nn.Module):
    """The 16 kHz network."""

    def __init__(self) -> None:
        super().__init__()
        self.stft_conv = nn.Conv1d(1, 2 * BINS, 256, 128, bias=False)
        self.conv1, self.conv2 = nn.Conv1d(BINS, 128, 3, 1, 1), nn.Conv1d(128, 64, 3, 2, 1)
        self.conv3, self.conv4 = nn.Conv1d(64, 64, 3, 2, 1), nn.Conv1d(64, 128, 3, 1, 1)
        self.lstm = nn.LSTM(128, 128, batch_first=True)
        self.final_conv = nn.Conv1d(128, 1, 1)

    def forward(self, wav: torch.Tensor) -> torch.Tensor:
        """wav (B, N) float32 at 16 kHz -> probability of speech in each 512 samples (B, ceil(N / 512))."""
        b, n = wav.shape
        chunks = F.pad(wav, (CONTEXT, -n % CHUNK)).unfold(1, CHUNK + CONTEXT, CHUNK)  # (B, n, 576)
        x = F.pad(chunks.flatten(0, 1), (0, PAD), mode="reflect").unsqueeze(1)  # (B n, 1, 640)
        x = self.stft_conv(x)  # (B n, 258, 4)
        x = (x[:, :BINS].square() + x[:, BINS:].square()).sqrt()
        for layer in (self.conv1, self.conv2, self.conv3, self.conv4):
            x = F.relu(layer(x))
        x, _ = self.lstm(x.view(b, -1, 128))  # (B, n, 128)
        return self.final_conv(F.relu(x).transpose(1, 2)).squeeze(1).sigmoid()


def at_frames(probability: torch.Tensor, n_frames: int) -> torch.Tensor:
    """Probabilities of chunks (B, n) at frames centred on sample 160 t: (B, n_frames)."""
    chunk = (torch.arange(n_frames) * HOP // CHUNK).clamp_max(probability.shape[1] - 1)
    return probability[:, chunk]


def load_silero(folder: str | Path) -> Silero:
    """The network of a folder, frozen. Raises ValueError where the file isn't one, FileNotFoundError without one."""
    path, network = Path(folder) / FILE, Silero()
    try:
        network.load_state_dict({name: value.float() for name, value in load_file(str(path)).items()})
    except RuntimeError as problem:
        raise ValueError(f"{FILE} is not Silero VAD's.") from problem
    return network.eval().requires_grad_(False)
