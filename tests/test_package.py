"""What importing slidewin does and does not do."""

import subprocess
import sys

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


def test_rooms_import_only_from_rooms_above_them():
    import ast
    from pathlib import Path

    order = [
        "errors", "output", "image", "grid", "classifier", "network", "heatmap", "workers",
        "sweep", "mask",
        "region", "saliency", "scene", "training", "report", "finding", "demo", "cli",
    ]  # fmt: skip
    root = Path(slidewin.__file__).parent
    rooms = {p.stem for p in root.iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()}
    assert rooms - {"__init__", "__main__"} == set(order)
    for room in order:
        files = (
            [root / f"{room}.py"] if (root / f"{room}.py").exists() else (root / room).glob("*.py")
        )
        for file in files:
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("slidewin."):
                    used = node.module.split(".")[1]
                    assert order.index(used) <= order.index(room), f"{file}: {node.module}"
