"""A network as one safetensors file: tensors, and in the metadata the configuration that rebuilds it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from safetensors import safe_open
from torch import nn

Network = TypeVar("Network", bound=nn.Module)


def load_network(path: str | Path, kind: str, what: str, build: Callable[[dict[str, Any]], Network]) -> Network:
    """Rebuild a network in evaluation mode, its tensors in the types that ``build`` gives them.

    kind : the metadata's key, under which the configuration stands as JSON
    what : what such a file is called in messages, with its article
    build : configuration -> the unfilled network

    Raises
    ------
    ValueError : the file is of another kind, or its tensors don't fit its configuration
    """
    name = Path(path).name
    with safe_open(str(path), framework="pt") as file:
        metadata = file.metadata() or {}
        if kind not in metadata:
            raise ValueError(f"{name} is not {what}: it carries no configuration.")
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a mapping
    try:
        network = build(json.loads(metadata[kind]))
    except (TypeError, KeyError) as problem:
        raise ValueError(f"{name} is not {what}: its configuration is another's ({problem}).") from problem
    own = network.state_dict()
    if own.keys() != tensors.keys() or any(own[key].shape != tensors[key].shape for key in own):
        raise ValueError(f"{name} does not fit the configuration it names.")
    network.load_state_dict({key: value.to(own[key].dtype) for key, value in tensors.items()})
    return network.eval()
