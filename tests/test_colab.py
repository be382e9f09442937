"""Notebooks in Colab: the set-up cell installs the library into an environment without it.

Colab is imitated by a new virtual environment that holds what Colab ships and not this library, by
a module `google.colab`, and by another working directory. The address in the set-up cell, which
leads to GitHub, is replaced by that of a wheel built from this checkout.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import badges
import nbformat
import pytest
import run_notebooks
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOK = ("ipykernel", "nbclient", "ipywidgets")
SHIPPED = (*NOTEBOOK, "matplotlib", "numpy", "scikit-learn", "torch", "torchvision", "tqdm")
NOTEBOOKS = [
    path for path in sorted((ROOT / "notebooks").glob("*.ipynb")) if path.name[:2] in ("00", "01")
]
IMITATION = """import sys, types
sys.modules["google.colab"] = types.ModuleType("google.colab")
"""
# Runs in the new environment; what it executes and stores is judged by the tests outside.
EXECUTE = """
import sys, nbformat
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], as_version=4)
client = NotebookClient(notebook, timeout=300, kernel_name="python3")
client.create_kernel_manager()
client.km.kernel_spec.argv[0] = sys.executable
client.execute()
nbformat.write(notebook, sys.argv[1])
"""
NETWORK = ("connect", "network", "fetch", "timed out", "download", "dns", "resolve host")

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Colab runs on Linux")


def run(*command: object, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*map(str, command)], capture_output=True, text=True, **options)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This checkout as a wheel, built from a copy, because a build leaves files behind."""
    if importlib.util.find_spec("pip") is None or importlib.util.find_spec("setuptools") is None:
        pytest.skip("no pip and setuptools here to build a wheel without network")
    if Version(importlib.metadata.version("setuptools")) < Version("77"):
        pytest.skip("setuptools is older than 77 here and cannot read pyproject.toml")
    place = tmp_path_factory.mktemp("wheel")
    source = place / "source"
    for name in ("sema_lite", "data/results"):
        shutil.copytree(ROOT / name, source / name)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip = (sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index")
    done = run(*pip, "--quiet", "--wheel-dir", place, source)
    assert done.returncode == 0, done.stderr
    return next(place.glob("*.whl"))


@pytest.fixture(scope="module")
def colab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a new environment with what Colab ships, at the versions of constraints.txt.

    The packages come from uv's or pip's cache where they are in it.
    """
    place = tmp_path_factory.mktemp("colab") / "venv"
    made = run(sys.executable, "-m", "venv", place)
    if made.returncode:
        pytest.skip(f"cannot make a virtual environment here: {made.stdout[-200:]}")
    python = place / "bin" / "python"
    what = ("-c", ROOT / "constraints.txt", *SHIPPED)
    ways = [
        (sys.executable, "-m", "uv", "pip", "install", "--offline", "--python", python, *what),
        (sys.executable, "-m", "uv", "pip", "install", "--python", python, *what),
        (python, "-m", "pip", "install", "--quiet", *what),
    ]
    if importlib.util.find_spec("uv") is None:
        ways = ways[2:]
    for way in ways:
        done = run(*way)
        if done.returncode == 0:
            return python
    if any(word in done.stderr.lower() for word in NETWORK):
        pytest.skip(f"no package index and no cache within reach: {done.stderr.strip()[-200:]}")
    pytest.fail(done.stderr)


def environment(place: Path) -> dict[str, str]:
    """The variables of a machine that knows nothing of this checkout, and has a `google.colab`."""
    (place / "sitecustomize.py").write_text(IMITATION, encoding="utf-8")
    foreign = ("PYTHON", "JUPYTER", "IPYTHON", "MPL", "VIRTUAL_ENV", "SEMA_LITE", "PIP_", "PYTEST")
    variables = {k: v for k, v in os.environ.items() if not k.startswith(foreign)}
    # pip finds everything that the library needs: Colab ships it. Nothing may be downloaded.
    return {**variables, "PYTHONPATH": str(place), "IPYTHONDIR": str(place), "PIP_NO_INDEX": "1"}


def printed(cell: Any) -> list[tuple[str, str]]:
    """What a cell prints and shows, as strict nbval compares it."""
    streams: dict[str, str] = {}
    for output in cell.outputs:
        if output.output_type == "stream":
            streams[output.name] = streams.get(output.name, "") + output.text
    shown = [
        ("shown", o.data["text/plain"]) for o in cell.outputs if "text/plain" in o.get("data", {})
    ]
    return [*streams.items(), *shown]


def in_colab(path: Path, wheel: Path, python: Path, place: Path) -> Any:
    """The notebook as executed in `place`; its last cell is one more, which says where we are."""
    notebook = nbformat.read(path, as_version=4)
    set_up = notebook.cells[2]
    address = f"git+https://github.com/{badges.repository(ROOT)}"
    assert address in set_up.source
    set_up.source = set_up.source.replace(address, wheel.as_posix())
    where = "import os, sys, sema_lite\nprint(sema_lite.__file__, os.getcwd(), sep='\\n')"
    notebook.cells.append(nbformat.v4.new_code_cell(where))
    copy = place / path.name
    nbformat.write(notebook, copy)
    done = run(python, "-c", EXECUTE, copy, cwd=place, env=environment(place))
    assert done.returncode == 0, done.stderr[-3000:]
    return nbformat.read(copy, as_version=4)


def test_the_environment_is_clean(colab: Path, tmp_path: Path) -> None:
    """Otherwise the test below would prove nothing."""
    done = run(colab, "-c", "import sema_lite", cwd=tmp_path, env=environment(tmp_path))
    assert "No module named 'sema_lite'" in done.stderr


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs_and_prints_the_same(
    path: Path, wheel: Path, colab: Path, tmp_path: Path
) -> None:
    run(colab, "-m", "pip", "uninstall", "--yes", "sema-lite")  # of the notebook before
    executed = in_colab(path, wheel, colab, tmp_path)
    library, directory = executed.cells.pop().outputs[0].text.splitlines()
    assert Path(library).is_relative_to(colab.parent.parent)
    assert "site-packages" in library
    assert Path(directory) == tmp_path.resolve()

    ours = nbformat.read(path, as_version=4).cells
    theirs = run_notebooks.clean(executed).cells
    for number, (stored, now) in enumerate(zip(ours, theirs, strict=True), 1):
        tags = stored.metadata.get("tags", [])
        if stored.cell_type == "code" and not {"set-up", "nbval-ignore-output"} & set(tags):
            assert printed(now) == printed(stored), f"cell {number}"
