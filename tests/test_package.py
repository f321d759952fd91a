"""What importing slidewin does and does not do."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import slidewin


def in_fresh_process(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True
    ).stdout


def test_importing_is_silent_and_leaves_the_heavy_packages_out():
    code = (
        "import sys, slidewin; [getattr(slidewin, name) for name in slidewin.__all__];"
        "print([name for name in ('torch', 'matplotlib', 'torchcam') if name in sys.modules])"
    )
    assert in_fresh_process(code) == "[]\n"


def test_importing_changes_no_setting_of_others():
    code = """
import logging, random, warnings
import cv2, numpy, PIL.Image
def settings():
    return (
        PIL.Image.MAX_IMAGE_PIXELS, cv2.getNumThreads(), logging.root.handlers[:],
        numpy.geterr(), random.getstate(), warnings.filters[:], str(numpy.random.get_state()),
    )
before = settings()
import slidewin
for name in slidewin.__all__:
    getattr(slidewin, name)
print(settings() == before)
"""
    assert in_fresh_process(code) == "True\n"


def test_the_public_names_are_few_and_there():
    assert len(slidewin.__all__) <= 12
    assert list(slidewin.__all__) == sorted(slidewin.__all__)
    for name in slidewin.__all__:
        assert getattr(slidewin, name).__doc__


ROOMS = [
    "errors", "versions", "output", "image", "grid", "features", "classifier", "network", "heatmap",
    "workers", "pyramid", "sweep", "mask", "region", "saliency", "metrics", "scene", "training",
    "comparison", "report", "finding", "demo", "cli",
]  # fmt: skip
ROOT = Path(slidewin.__file__).parent


def modules():
    """Every module of every room, with the room's place in the order."""
    for place, room in enumerate(ROOMS):
        one = ROOT / f"{room}.py"
        for file in [one] if one.exists() else sorted((ROOT / room).glob("*.py")):
            yield place, file


def used_rooms(file):
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names if name.name.startswith("slidewin"))
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("slidewin"):
            if node.module == "slidewin":
                yield from (f"slidewin.{name.name}" for name in node.names)
            else:
                yield node.module


def test_rooms_import_only_from_rooms_above_them():
    there = {p.stem for p in ROOT.iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()}
    assert there - {"__init__"} == set(ROOMS)
    for place, file in modules():
        for module in used_rooms(file):
            name = module.split(".")[1]
            assert name == "__version__" or ROOMS.index(name) <= place, f"{file}: {module}"


def test_modules_are_small():
    for _, file in modules():
        assert len(file.read_text(encoding="utf-8").splitlines()) <= 400, file


def test_notebooks_are_committed_without_outputs():
    notebooks = sorted((ROOT.parent / "notebooks").glob("*.ipynb"))
    assert notebooks
    for notebook in notebooks:
        for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
            assert not cell.get("outputs"), notebook
            assert cell.get("execution_count") is None, notebook
