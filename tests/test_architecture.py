"""The one direction of the house, enforced: pages -> core -> models, and who may import what."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("core", "models", "pages")
# huggingface_hub is the part of transformers that finds a hub's files
NETWORK_LIBRARIES = {"torch", "transformers", "huggingface_hub", "numpy", "safetensors", "models"}


def sources(*rooms: str) -> list[Path]:
    return sorted(p for room in rooms for p in (ROOT / room).rglob("*.py"))


def imports(path: Path) -> set[str]:
    """Full names of all modules imported anywhere in a file."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: imports are absolute"
            found |= {str(node.module)} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def test_the_import_contracts_hold(monkeypatch, capsys):
    from importlinter.cli import lint_imports

    monkeypatch.chdir(ROOT)
    monkeypatch.syspath_prepend(str(ROOT))
    assert lint_imports(config_filename="pyproject.toml", no_cache=True) == 0, capsys.readouterr().out


@pytest.mark.parametrize("path", sources("models"), ids=lambda p: str(p.relative_to(ROOT)))
def test_networks_import_little(path):
    roots = {name.split(".")[0] for name in imports(path)}
    assert roots <= NETWORK_LIBRARIES | set(sys.stdlib_module_names)


@pytest.mark.parametrize("path", sources("core", "models"), ids=lambda p: str(p.relative_to(ROOT)))
def test_streamlit_and_plotly_stay_in_their_rooms(path):
    roots = {name.split(".")[0] for name in imports(path)}
    assert "streamlit" not in roots
    assert not re.search(r"^\s*(import|from) streamlit", path.read_text(encoding="utf-8"), re.M), "not in a script either"
    if "figures" not in path.relative_to(ROOT).parts and path.name != "figures.py":
        assert "plotly" not in roots


@pytest.mark.parametrize("path", sources("pages"), ids=lambda p: str(p.relative_to(ROOT)))
def test_pages_do_not_import_pages(path):
    scripts = {f"pages.{p.stem}" for p in (ROOT / "pages").glob("*.py") if p.stem != "__init__"}
    assert not imports(path) & scripts


def test_nothing_is_ever_unpickled():
    for path in sources(*ROOMS):
        names = imports(path)
        assert not names & {"pickle", "dill", "joblib", "cloudpickle"}, path
        text = path.read_text(encoding="utf-8")
        assert "trust_remote_code=True" not in text and "allow_pickle=True" not in text, path


def test_every_file_says_what_it_is_for():
    for path in [*sources(*ROOMS), *([ROOT / "app.py"] if (ROOT / "app.py").exists() else [])]:
        text = path.read_text(encoding="utf-8")
        if text.strip():
            assert ast.get_docstring(ast.parse(text)), f"{path.relative_to(ROOT)} has no module docstring"


def test_the_requirements_are_pinned():
    for name in ("requirements.txt", "requirements-dev.txt"):
        lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
        wanted = [line for line in lines if line and not line.startswith(("#", "-r "))]
        assert wanted and all("==" in line for line in wanted)
