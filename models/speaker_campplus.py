"""CAM++ (192-d), as published for Chinese and English: the teacher of ``models.speaker``, which has its shape.

    features (B, T, 80), each band's mean over time taken off -> 2-D residual front end -> densely connected dilated
    convolutions with context-aware masks -> mean and deviation over time -> embedding (B, 192)

Modules are named as in the published weights so that those load as they are. Only training and measuring need the whole;
the page works with the small encoder, made of the same parts with narrower bottlenecks.

Reference
---------
Wang et al. 2023, "CAM++: a fast and efficient network for speaker verification using context-aware masking",
arXiv 2303.00332.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

PLANES, GROWTH, BOTTLENECK, MASK, SEGMENT = 32, 32, 128, 64, 100
STAGES = ((12, 1), (24, 2), (16, 2))  # layers and dilation of each dense block


class Residual2d(nn.Module):
    """Two 3 x 3 convolutions with a shortcut; the bands may be halved: (B, C, bands, T)."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(PLANES, PLANES, 3, (stride, 1), 1, bias=False)
        self.bn1 = nn.BatchNorm2d(PLANES)
        self.conv2 = nn.Conv2d(PLANES, PLANES, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(PLANES)
        self.shortcut = nn.Sequential()
        if stride > 1:
            self.shortcut = nn.Sequential(nn.Conv2d(PLANES, PLANES, 1, (stride, 1), bias=False), nn.BatchNorm2d(PLANES))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + self.shortcut(x))


class FrontEnd(nn.Module):
    """(B, 80, T) -> (B, 320, T)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(1, PLANES, 3, 1, 1, bias=False), nn.BatchNorm2d(PLANES)
        self.layer1 = nn.Sequential(Residual2d(2), Residual2d(1))
        self.layer2 = nn.Sequential(Residual2d(2), Residual2d(1))
        self.conv2, self.bn2 = nn.Conv2d(PLANES, PLANES, 3, (2, 1), 1, bias=False), nn.BatchNorm2d(PLANES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.bn1(self.conv1(x.unsqueeze(1))))
        x = F.relu(self.bn2(self.conv2(self.layer2(self.layer1(x)))))  # (B, 32, 10, T)
        return x.flatten(1, 2)


def _activation(width: int, *, affine: bool = True, relu: bool = True) -> nn.Sequential:
    steps = OrderedDict(batchnorm=nn.BatchNorm1d(width, affine=affine))
    if relu:
        steps["relu"] = nn.ReLU()
    return nn.Sequential(steps)


class ContextMask(nn.Module):
    """A dilated convolution, masked by what the whole and each stretch of 100 frames hold on average."""

    def __init__(self, dilation: int, bottleneck: int) -> None:
        super().__init__()
        self.linear_local = nn.Conv1d(bottleneck, GROWTH, 3, padding=dilation, dilation=dilation, bias=False)
        self.linear1 = nn.Conv1d(bottleneck, MASK, 1)
        self.linear2 = nn.Conv1d(MASK, GROWTH, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        parts = F.avg_pool1d(x, SEGMENT, SEGMENT, ceil_mode=True)  # (B, bottleneck, ceil(T / 100))
        context = x.mean(2, keepdim=True) + parts.repeat_interleave(SEGMENT, 2)[..., : x.shape[2]]
        return self.linear_local(x) * torch.sigmoid(self.linear2(F.relu(self.linear1(context))))


class DenseLayer(nn.Module):
    """(B, C, T) -> 32 new channels (B, 32, T)."""

    def __init__(self, channels: int, dilation: int, bottleneck: int) -> None:
        super().__init__()
        self.nonlinear1 = _activation(channels)
        self.linear1 = nn.Conv1d(channels, bottleneck, 1, bias=False)
        self.nonlinear2 = _activation(bottleneck)
        self.cam_layer = ContextMask(dilation, bottleneck)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.cam_layer(self.nonlinear2(self.linear1(self.nonlinear1(x))))


class DenseBlock(nn.ModuleDict):
    """Layers that each hear everything before them: (B, C, T) -> (B, C + 32 n, T)."""

    def __init__(self, channels: int, n: int, dilation: int, bottleneck: int) -> None:
        super().__init__({f"tdnnd{i + 1}": DenseLayer(channels + i * GROWTH, dilation, bottleneck) for i in range(n)})

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.values():
            x = torch.cat([x, layer(x)], 1)
        return x


class Unit(nn.Module):
    """A convolution with its activation before (``first``) or after."""

    def __init__(self, convolution: nn.Conv1d, activation: nn.Sequential, *, activate_first: bool = False) -> None:
        super().__init__()
        self.linear, self.nonlinear, self.activate_first = convolution, activation, activate_first

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(self.nonlinear(x)) if self.activate_first else self.nonlinear(self.linear(x))


class Statistics(nn.Module):
    """(B, C, T) -> mean and unbiased deviation (B, 2C, 1)."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x.mean(2), x.std(2)], 1).unsqueeze(2)


def trunk_width(stages: Sequence[tuple[int, int]]) -> int:
    """How many channels :func:`dense_trunk` ends with."""
    channels = 128
    for n, _ in stages:
        channels = (channels + n * GROWTH) // 2
    return channels


def dense_trunk(stages: Sequence[tuple[int, int]], bottleneck: int) -> OrderedDict[str, nn.Module]:
    """What lies between the front end and the pooling: (B, 320, T) -> (B, trunk_width(stages), ceil(T / 2))."""
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    parts["tdnn"] = Unit(nn.Conv1d(PLANES * 10, 128, 5, 2, 2, bias=False), _activation(128))
    channels = 128
    for i, (n, dilation) in enumerate(stages, 1):
        parts[f"block{i}"] = DenseBlock(channels, n, dilation, bottleneck)
        channels += n * GROWTH
        parts[f"transit{i}"] = Unit(nn.Conv1d(channels, channels // 2, 1, bias=False), _activation(channels),
                                    activate_first=True)
        channels //= 2
    parts["out_nonlinear"] = _activation(channels)
    return parts


class CamPlusPlus(nn.Module):
    """The published network."""

    def __init__(self) -> None:
        super().__init__()
        self.head = FrontEnd()
        parts = dense_trunk(STAGES, BOTTLENECK)
        parts["stats"] = Statistics()
        width = 2 * trunk_width(STAGES)
        parts["dense"] = Unit(nn.Conv1d(width, 192, 1, bias=False), _activation(192, affine=False, relu=False))
        self.xvector = nn.Sequential(parts)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """features (B, T, 80) from ``models.speaker.fbank`` -> embedding (B, 192) of length 1."""
        x = (features - features.mean(1, keepdim=True)).transpose(1, 2)  # (B, 80, T)
        return F.normalize(self.xvector(self.head(x)).squeeze(2), dim=1)


def load_campplus(path: str | Path) -> CamPlusPlus:
    """The published file, read as tensors only, frozen. Raises ValueError where it is not this network's."""
    tensors = torch.load(path, map_location="cpu", weights_only=True)
    network = CamPlusPlus()
    try:
        network.load_state_dict(tensors)
    except (RuntimeError, TypeError) as problem:
        raise ValueError(f"{Path(path).name} is not CAM++ of 192 dimensions.") from problem
    return network.eval().requires_grad_(False)
