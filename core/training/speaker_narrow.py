"""Start a narrow speaker encoder from its teacher: in every dense layer the bottleneck units that say most are kept.

The units are chosen greedily, each as the one whose activation the chosen ones explain least, weighed by what leaves it
(pivoted Cholesky of the units' second moments); the kernels behind the bottleneck then hear every lost unit as the
linear combination of kept ones that is nearest to it in the least squares.

Reference
---------
The idea is channel pruning with reconstruction: He et al. 2017, "Channel pruning for accelerating very deep neural
networks", arXiv 1707.06168.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from models.speaker import SpeakerEncoder, centre
from models.speaker_campplus import CamPlusPlus, DenseBlock, DenseLayer

RIDGE = 1e-4  # of the mean second moment


def start_narrow(encoder: SpeakerEncoder, teacher: CamPlusPlus, batches: Sequence[torch.Tensor]) -> None:
    """Give the encoder the teacher's weights, narrowed by what its units do with ``batches`` of features (B, T, 80).

    Its attention starts even, so that it pools as the teacher does. Raises RuntimeError where the shapes don't fit.
    """
    moments = second_moments(teacher, batches)
    encoder.head.load_state_dict(teacher.head.state_dict())
    for name, part in encoder.trunk.named_children():
        theirs = getattr(teacher.xvector, name)
        if isinstance(part, DenseBlock):
            for layer, wide in zip(part.values(), theirs.values(), strict=True):
                _narrow(layer, wide, moments[wide])
        else:
            part.load_state_dict(theirs.state_dict())
    last = teacher.xvector.dense
    scale = (last.nonlinear.batchnorm.running_var + last.nonlinear.batchnorm.eps).rsqrt()
    with torch.no_grad():
        encoder.out.weight.copy_(last.linear.weight.squeeze(2) * scale[:, None])
        encoder.out.bias.copy_(-last.nonlinear.batchnorm.running_mean * scale)
        encoder.attention[2].weight.zero_()


@torch.no_grad()
def second_moments(teacher: CamPlusPlus, batches: Sequence[torch.Tensor]) -> dict[DenseLayer, torch.Tensor]:
    """Mean product of every two bottleneck units of each dense layer, (128, 128)."""
    sums: dict[DenseLayer, torch.Tensor] = {}

    def add(layer: DenseLayer):
        def hook(_, __, units: torch.Tensor) -> None:  # (B, 128, T)
            flat = units.float().transpose(0, 1).flatten(1)
            sums[layer] = sums.get(layer, 0.0) + flat @ flat.T / flat.shape[1]
        return hook

    layers = [m for m in teacher.modules() if isinstance(m, DenseLayer)]
    hooks = [layer.nonlinear2.register_forward_hook(add(layer)) for layer in layers]
    for features in batches:
        teacher.xvector(teacher.head(centre(features).transpose(1, 2)))
    for hook in hooks:
        hook.remove()
    return {layer: total / len(batches) for layer, total in sums.items()}


def kept_units(moments: torch.Tensor, leaving: torch.Tensor, n: int) -> torch.Tensor:
    """The n units to keep: second moments (U, U), norm of what leaves each (U,) -> sorted row numbers (n,)."""
    rest = (moments * leaving[:, None] * leaving).double()
    kept = []
    for _ in range(n):
        left = rest.diagonal().clone()
        left[kept] = -1.0
        j = int(left.argmax())
        kept.append(j)
        if left[j] > 0:
            rest = rest - torch.outer(rest[:, j], rest[j]) / rest[j, j]
    return torch.tensor(sorted(kept))


@torch.no_grad()
def _narrow(layer: DenseLayer, wide: DenseLayer, moments: torch.Tensor) -> None:
    kernel = wide.cam_layer.linear_local.weight  # (32, 128, 3)
    keep = kept_units(moments, kernel.square().sum((0, 2)).sqrt(), layer.linear1.out_channels)
    own = moments[keep][:, keep]
    own = own + RIDGE * own.diagonal().mean() * torch.eye(len(keep))
    rebuild = torch.linalg.solve(own, moments[keep]).T  # (128, n): every unit from the kept ones
    layer.nonlinear1.load_state_dict(wide.nonlinear1.state_dict())
    layer.linear1.weight.copy_(wide.linear1.weight[keep])
    theirs, norm = wide.nonlinear2.batchnorm, layer.nonlinear2.batchnorm
    for name in ("weight", "bias", "running_mean", "running_var"):
        getattr(norm, name).copy_(getattr(theirs, name)[keep])
    mask, wide_mask = layer.cam_layer, wide.cam_layer
    mask.linear_local.weight.copy_(torch.einsum("out,un->ont", kernel, rebuild))
    mask.linear1.weight.copy_((wide_mask.linear1.weight.squeeze(2) @ rebuild).unsqueeze(2))
    mask.linear1.bias.copy_(wide_mask.linear1.bias)
    mask.linear2.load_state_dict(wide_mask.linear2.state_dict())
