"""Recipes: small TOML or JSON files that say what a corpus is built from. Shipped ones are in ``recipes/``.

    name = "default"            views = 6            seed = 0            max_seconds = 8.0
    [copies]                    world = 1.0          neural = 0.5        # share of the bona fide clips
    [[source]]                  kind = "manifest"    folder = "{corpus}"
    [[source]]                  kind = "published"   folder = "~/corpora/ASVspoof5"   optional = true

``optional`` sources may be absent, which is said and counted; a source that isn't stops the build when it is missing.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.training.corpus import CorpusError
from core.training.sources_base import Source
from core.training.sources_files import folder, manifest, published
from core.training.sources_packages import packages
from core.training.sources_synthesis import synthesis

SHIPPED = Path(__file__).parent / "recipes"
SOURCES: dict[str, Source] = {"manifest": manifest, "published": published, "folder": folder, "packages": packages,
                              "synthesis": synthesis}
LIMITS = {"views": (1, 64), "seed": (0, 2**31 - 1), "max_seconds": (0.5, 60.0)}


@dataclass(frozen=True)
class BuildRecipe:
    """What to build. views: the clean one and the degraded ones of each clip; copies: share of the bona fide clips that
    gets a copy by each copier, ``neural`` for every vocoder found in the folder ``vocoders``.
    """

    name: str = "unnamed"
    views: int = 6
    seed: int = 0
    max_seconds: float = 8.0
    copies: Mapping[str, float] = field(default_factory=dict)
    vocoders: str = ""
    source: tuple[Mapping[str, Any], ...] = ()
    folder: Path = Path()  # where relative paths start


def load_recipe(name: str | Path) -> BuildRecipe:
    """A shipped recipe by name, or a TOML or JSON file. Raises CorpusError naming the file and what is wrong with it."""
    path = SHIPPED / f"{name}.toml" if str(name) in shipped() else Path(name)
    try:
        text = path.read_text(encoding="utf-8")
        values = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except (OSError, UnicodeDecodeError) as error:
        raise CorpusError(f"The recipe {path} cannot be read ({error}); shipped are {', '.join(shipped())}.") from error
    except (tomllib.TOMLDecodeError, json.JSONDecodeError) as error:
        raise CorpusError(f"The recipe {path} is not valid: {error}.") from error
    return _checked(path, values)


def shipped() -> list[str]:
    """Names of the recipes that come with the project."""
    return sorted(path.stem for path in SHIPPED.glob("*.toml") if path.stem != "texts")


def _checked(path: Path, values: Any) -> BuildRecipe:
    known = {"name", "views", "seed", "max_seconds", "copies", "vocoders", "source"}
    if not isinstance(values, dict) or set(values) - known:
        extra = ", ".join(sorted(set(values) - known)) if isinstance(values, dict) else "no table"
        raise CorpusError(f"The recipe {path} has unknown entries: {extra}.")
    for key, (low, high) in LIMITS.items():
        value = values.get(key, low)
        whole = isinstance(value, int) and not isinstance(value, bool)
        if not (whole or (key == "max_seconds" and isinstance(value, float))) or not low <= value <= high:
            raise CorpusError(f"The recipe {path}: {key} must lie between {low} and {high}, not be {value!r}.")
    sources, shares = values.get("source", []), values.get("copies", {})
    if not isinstance(sources, list) or not sources or not all(isinstance(s, dict) for s in sources):
        raise CorpusError(f"The recipe {path} needs at least one [[source]].")
    for entry in sources:
        if entry.get("kind") not in SOURCES:
            raise CorpusError(f"The recipe {path}: there is no source of kind {entry.get('kind')!r}; known are "
                              f"{', '.join(SOURCES)}.")
    _check_copies(path, shares, values.get("vocoders", ""))
    start = Path.cwd() if path.parent == SHIPPED else path.parent
    return BuildRecipe(**{**values, "source": tuple(sources)}, folder=start.resolve())


def _check_copies(path: Path, shares: Any, vocoders: Any) -> None:
    from core.training.copies import COPIERS

    names = {*COPIERS, "neural"}
    if not isinstance(shares, dict) or set(shares) - names:
        raise CorpusError(f"The recipe {path}: copies can be made by {', '.join(sorted(names))}.")
    for name, share in shares.items():
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
            raise CorpusError(f"The recipe {path}: the share of {name} must lie between 0 and 1, not be {share!r}.")
    if not isinstance(vocoders, str):
        raise CorpusError(f"The recipe {path}: vocoders must name a folder.")
