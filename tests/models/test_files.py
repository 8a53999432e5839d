"""A network's file says what it is, and a file of another kind, of other fields or of other shapes is refused."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from models.files import load_network


def build(config):
    return nn.Linear(config["width"], 2)


def write(path, config, kind="line", width=3):
    tensors = {"weight": torch.arange(2.0 * width).view(2, width).half(), "bias": torch.ones(2)}
    save_file(tensors, str(path), metadata={kind: json.dumps(config)})
    return path


def test_round_trip_in_the_types_of_the_built_network(tmp_path):
    found = load_network(write(tmp_path / "a.safetensors", {"width": 3}), "line", "a line", build)
    assert found.weight.dtype == torch.float32 and not found.training
    assert torch.equal(found.weight, torch.arange(6.0).view(2, 3))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"kind": "curve"}, "is not a line: it carries no configuration"),
        ({"config": {"breadth": 3}}, "is not a line: its configuration is another's"),
        ({"config": [3]}, "is not a line: its configuration is another's"),
        ({"width": 4}, "does not fit the configuration it names"),
    ],
)
def test_another_file_is_refused_by_name(tmp_path, changes, words):
    path = write(tmp_path / "b.safetensors", **({"config": {"width": 3}} | changes))
    with pytest.raises(ValueError, match=f"b.safetensors {words}"):
        load_network(path, "line", "a line", build)
