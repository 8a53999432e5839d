"""Finding and reading pretrained weights on disk: configuration and safetensors, nothing that could run
code."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from models.encoder import EncoderUnavailable

MODEL_TYPES = {"whisper": "whisper", "wav2vec2": "wav2vec2", "hubert": "hubert", "wavlm": "wavlm",
               "audio-spectrogram-transformer": "ast"}
WANTED_FILES = ("config.json", "preprocessor_config.json", "*.safetensors", "*.safetensors.index.json")
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def find_local(path_or_hub_id: str | Path, *, allow_download: bool, revision: str | None = None) -> Path:
    """A folder or safetensors file on this machine, fetched from the hub first only if ``allow_download``.

    Raises EncoderUnavailable.
    """
    path = Path(path_or_hub_id).expanduser()
    if path.is_dir():
        return path
    if path.is_file():
        if path.suffix != ".safetensors":
            raise EncoderUnavailable(f"{path.name} is not a safetensors file; other formats can run code "
                                     "and are not opened.")
        return path
    name = str(path_or_hub_id)
    if not HUB_ID.fullmatch(name):
        raise EncoderUnavailable(f"There is no model folder {name}; give an existing folder or a hub id.")
    return _from_hub(name, allow_download, revision)


def _from_hub(name: str, allow_download: bool, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=list(WANTED_FILES),
                                      local_files_only=not allow_download))
    except Exception as error:  # the hub's client has many; the user needs one sentence
        if allow_download:
            raise EncoderUnavailable(f"{name} could not be downloaded ({type(error).__name__}); check the "
                                     "name and the connection, or give a local folder.") from error
        raise EncoderUnavailable(f"{name} is not on this machine; give a local folder or allow the "
                                 "download.") from error


def read_config(folder: Path) -> dict[str, Any]:
    """``config.json`` of a model folder. Raises EncoderUnavailable."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise EncoderUnavailable(f"{folder.name} has no config.json; give a complete model "
                                 "folder.") from error
    except (OSError, ValueError) as error:
        raise EncoderUnavailable(f"The config.json in {folder.name} can't be read; fetch the model "
                                 "again.") from error
    if not isinstance(config, dict):
        raise EncoderUnavailable(f"The config.json in {folder.name} is not a model's; fetch the model again.")
    return config


def family_of_folder(folder: Path) -> str:
    """The encoder family that a model folder holds. Raises EncoderUnavailable."""
    kind = read_config(folder).get("model_type")
    if kind not in MODEL_TYPES:
        raise EncoderUnavailable(f"{folder.name} holds a model of type {kind!r}, which is not supported; "
                                 f"supported are {', '.join(MODEL_TYPES)}.")
    weight_files(folder)
    return MODEL_TYPES[kind]


def weight_files(source: Path) -> list[Path]:
    """The safetensors files of a folder, or the file itself. Raises EncoderUnavailable where there are
    none."""
    if source.is_file():
        return [source]
    files = sorted(source.glob("*.safetensors"))
    if files:
        return files
    if any(source.glob("*.bin")) or any(source.glob("*.pt")) or any(source.glob("*.pth")):
        raise EncoderUnavailable(f"{source.name} has its weights only in a pickled file, which can run code "
                                 "and is not opened; convert it to safetensors or take another revision.")
    raise EncoderUnavailable(f"{source.name} has no safetensors weights; give a complete model folder.")


def read_tensors(source: Path, *, prefixes: tuple[str, ...], marker: str) -> dict[str, torch.Tensor]:
    """Tensors under the first of ``prefixes`` that has ``marker``, the prefix removed. Raises
    EncoderUnavailable."""
    where: dict[str, Path] = {}
    try:
        for file in weight_files(source):
            with safe_open(os.fspath(file), framework="pt") as handle:
                where |= dict.fromkeys(handle.keys(), file)
        prefix = next((p for p in prefixes if p + marker in where), None)
        if prefix is None:
            raise EncoderUnavailable(f"{source.name} doesn't hold the encoder it names; choose another "
                                     "model.")
        tensors: dict[str, torch.Tensor] = {}
        for file in set(where.values()):
            with safe_open(os.fspath(file), framework="pt") as handle:
                tensors |= {name[len(prefix):]: handle.get_tensor(name) for name, place in where.items()
                            if place == file and name.startswith(prefix)}
        return tensors
    except (OSError, SafetensorError) as error:
        raise EncoderUnavailable(f"The weights in {source.name} are damaged; fetch the model "
                                 "again.") from error


def check_keep_layers(keep_layers: int | None, n_layers: int) -> int:
    """Layers to keep, None for all. Raises ValueError unless the number is between 1 and ``n_layers``."""
    if keep_layers is None:
        return n_layers
    if not 1 <= keep_layers <= n_layers:
        raise ValueError(f"The encoder has {n_layers} layers; {keep_layers} of them can't be kept.")
    return keep_layers


def portable_config(config: Any) -> dict[str, Any]:
    """A ``transformers`` configuration as a JSON-able dict, without what says nothing about the encoder."""
    leave_out = {"architectures", "dtype", "torch_dtype", "id2label", "label2id", "transformers_version",
                 "_name_or_path", "_attn_implementation", "num_labels"}
    return {key: value for key, value in json.loads(config.to_json_string(use_diff=False)).items()
            if key not in leave_out}


def read_normalise(folder: Path) -> bool | None:
    """Whether the model wants inputs of zero mean and unit variance; None where its folder doesn't say."""
    try:
        text = (folder / "preprocessor_config.json").read_text(encoding="utf-8")
        return json.loads(text).get("do_normalize")
    except (OSError, ValueError, AttributeError):
        return None


def load_transformers_model(model_class: type, folder: Path, config: Any) -> torch.nn.Module:
    """A ``transformers`` model in fp32 from safetensors on this machine. Raises EncoderUnavailable."""
    weight_files(folder)
    try:
        model, info = model_class.from_pretrained(
            os.fspath(folder), config=config, use_safetensors=True, local_files_only=True,
            dtype=torch.float32, output_loading_info=True)
    except (OSError, RuntimeError, ValueError, KeyError, SafetensorError) as error:
        raise EncoderUnavailable(f"The weights in {folder.name} don't fit its config.json or are damaged; "
                                 "fetch the model again.") from error
    missing = sorted(info["missing_keys"])
    if missing:  # the library would leave them random
        raise EncoderUnavailable(f"{folder.name} lacks {len(missing)} tensors of its encoder (first: "
                                 f"{missing[0]}); use a complete model.")
    return model
