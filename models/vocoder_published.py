"""The published HiFi-GAN generator V1, for copy-synthesis: log-mel in, wave out. It makes training material.

Modules are named as in the published weights, which our own vocoders' (``models.vocoder``) are not.

Reference
---------
Kong, Kim, Bae 2020, "HiFi-GAN", arXiv 2010.05646.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn
from torch.nn import functional as F

BANDS = 80
SLOPE = 0.1


class ResidualBlock(nn.Module):
    """Dilated and plain convolutions by turns, each pair with a shortcut: (B, C, T) -> (B, C, T)."""

    def __init__(self, channels: int, kernel: int, dilations: tuple[int, ...] = (1, 3, 5)) -> None:
        super().__init__()
        self.convs1 = nn.ModuleList(nn.Conv1d(channels, channels, kernel, padding=(kernel - 1) * d // 2, dilation=d)
                                    for d in dilations)
        self.convs2 = nn.ModuleList(nn.Conv1d(channels, channels, kernel, padding=kernel // 2) for _ in dilations)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for dilated, plain in zip(self.convs1, self.convs2, strict=True):
            x = x + plain(F.leaky_relu(dilated(F.leaky_relu(x, SLOPE)), SLOPE))
        return x


class HiFiGAN(nn.Module):
    """The generator V1 of the paper's table; modules are named as in the published weights."""

    def __init__(self, strides: tuple[int, ...] = (8, 8, 2, 2), channels: int = 512,
                 kernels: tuple[int, ...] = (3, 7, 11)) -> None:
        super().__init__()
        self.kinds = len(kernels)
        self.conv_pre = nn.Conv1d(BANDS, channels, 7, padding=3)
        self.ups = nn.ModuleList(nn.ConvTranspose1d(channels >> i, channels >> (i + 1), 2 * s, s, padding=s // 2)
                                 for i, s in enumerate(strides))
        self.resblocks = nn.ModuleList(ResidualBlock(channels >> i, k)
                                       for i in range(1, len(strides) + 1) for k in kernels)
        self.conv_post = nn.Conv1d(channels >> len(strides), 1, 7, padding=3)

    def forward(self, mel: torch.Tensor) -> torch.Tensor:
        """Log-mel (B, 80, T) -> wave (B, 1, 256 T)."""
        x = self.conv_pre(mel)
        for i, up in enumerate(self.ups):
            x = up(F.leaky_relu(x, SLOPE))
            x = sum(block(x) for block in self.resblocks[i * self.kinds : (i + 1) * self.kinds]) / self.kinds
        return torch.tanh(self.conv_post(F.leaky_relu(x)))


def plain_weights(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Weight normalisation worked in: g v / |v| for each pair ``weight_g``, ``weight_v``."""
    found = {k: v for k, v in tensors.items() if not k.endswith(("weight_g", "weight_v"))}
    for name, v in tensors.items():
        if name.endswith("weight_v"):
            g = tensors[name.removesuffix("v") + "g"]
            found[name.removesuffix("_v")] = v * (g / v.flatten(1).norm(dim=1).view_as(g))
    return found
