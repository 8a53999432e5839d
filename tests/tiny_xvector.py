"""Tiny random x-vector checkpoints on disk, for tests of the plumbing: never shown as encoders."""

from __future__ import annotations

import json
from pathlib import Path

import torch

TINY = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64,
        "conv_dim": [16] * 7, "num_feat_extract_layers": 7, "num_conv_pos_embeddings": 16,
        "num_conv_pos_embedding_groups": 4, "tdnn_dim": [16, 16, 16, 16, 24], "xvector_output_dim": 16, "num_labels": 5}


def make_xvector(folder: Path, family: str = "wavlm") -> Path:
    """A folder with config.json, preprocessor_config.json and safetensors of a family."""
    import transformers

    from models.xvector import CLASSES

    model_class = getattr(transformers, CLASSES[family])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model_class(model_class.config_class(**TINY)).save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps({"do_normalize": True, "sampling_rate": 16_000}))
    return folder
