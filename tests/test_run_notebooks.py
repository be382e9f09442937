"""tools/run_notebooks.py executes notebooks in place; tools/stability.py runs nbval repeatedly."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
import run_notebooks
import stability
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

PRINTS = "import os, sys\nprint(1)\nsys.stdout.flush()\nprint(os.path.basename(os.getcwd()))"
FIGURE = """from sema_lite import plots
fig, ax = plots.figure()
print("before")
plots.show(fig, "Nothing is drawn.")
print("after")"""
WIDGET = """import ipywidgets
class Shown(ipywidgets.VBox):
    def _repr_mimebundle_(self, **_):
        view = {"version_major": 2, "version_minor": 0, "model_id": self.model_id}
        data = {"text/plain": "Shown", "image/png": "aWM=", VIEW: view}
        return data, {"image/png": {"alt": "A picture."}}
VIEW = "application/vnd.jupyter.widget-view+json"
Shown()"""


def write(path: Path, *sources: str) -> None:
    """A notebook that was edited in many places, and not executed."""
    cells = [new_code_cell(source, metadata={"collapsed": False}) for source in sources]
    cells.insert(0, new_markdown_cell("# Title"))
    foreign = {"kernelspec": {"name": "mine", "display_name": "My Python"}, "widgets": {}}
    nbformat.write(new_notebook(cells=cells, metadata=foreign), path)


@pytest.fixture
def notebooks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "notebooks"
    place.mkdir()
    monkeypatch.setattr(run_notebooks, "NOTEBOOKS", place)
    monkeypatch.setattr(stability, "ROOT", tmp_path)
    return place


def call(tool: Any, monkeypatch: pytest.MonkeyPatch, *names: str) -> int:
    monkeypatch.setattr(sys, "argv", ["a tool", *names])
    return tool.main()


def test_it_executes_cleans_and_leaves_a_failing_notebook_as_it_was(
    notebooks: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write(notebooks / "01_good.ipynb", PRINTS, FIGURE, WIDGET)
    write(notebooks / "02_bad.ipynb", "print('half')", "1 / 0")
    before = (notebooks / "02_bad.ipynb").read_bytes()
    assert call(run_notebooks, monkeypatch) == 1
    out = capsys.readouterr().out
    assert "01_good.ipynb: " in out
    assert "02_bad.ipynb: FAILED, left as it was" in out
    assert "ZeroDivisionError" in out

    assert (notebooks / "02_bad.ipynb").read_bytes() == before
    assert sorted(path.name for path in notebooks.iterdir()) == ["01_good.ipynb", "02_bad.ipynb"]
    notebook = nbformat.read(notebooks / "01_good.ipynb", as_version=4)
    assert notebook.metadata == run_notebooks.METADATA
    _, prints, figure, widget = notebook.cells
    assert [cell.execution_count for cell in (prints, figure, widget)] == [1, 2, 3]
    assert all(cell.metadata == {} for cell in notebook.cells)
    # Its own folder is the working directory, and what is printed is in one piece.
    (printed,) = prints.outputs
    assert printed.text == "1\nnotebooks\n"
    # Text stays before and after the picture, which keeps its alt text.
    before_it, picture, after_it = figure.outputs
    assert (before_it.text.splitlines()[0], after_it.text) == ("before", "after\n")
    assert picture.metadata["image/png"]["alt"] == "Nothing is drawn."
    # Of a widget stay its picture and the alt text.
    (shown,) = widget.outputs
    assert shown.data == {"image/png": "aWM=", "text/plain": "Shown"}
    assert shown.metadata == {"image/png": {"alt": "A picture."}}


def test_a_second_execution_changes_nothing(
    notebooks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = notebooks / "01_good.ipynb"
    write(path, PRINTS)
    assert call(run_notebooks, monkeypatch, "01") == 0
    once = path.read_bytes()
    assert call(run_notebooks, monkeypatch, "01") == 0
    assert path.read_bytes() == once


def test_cleaning_drops_views_states_and_foreign_metadata_only() -> None:
    view = {"text/plain": "Button()", run_notebooks.WIDGET_VIEW: {"model_id": "1"}}
    dead = {run_notebooks.WIDGET_VIEW: {"model_id": "2"}}
    picture = new_output("display_data", {"image/png": "aWM="}, metadata={"alt": "A."})
    outputs = [
        new_output("stream", text="a\n"),
        new_output("stream", text="b\n"),
        new_output("stream", name="stderr", text="c\n"),
        new_output("display_data", dict(dead)),
        new_output("display_data", dict(view)),
        picture,
    ]
    tagged = {"tags": ["set-up"], "execution": {"iopub.status.busy": "now"}}
    cell = new_code_cell("1", outputs=outputs, metadata=tagged, execution_count=1)
    older = new_notebook(cells=[cell, new_markdown_cell("a")], metadata={"widgets": {}})
    cleaned = run_notebooks.clean(older)
    assert cleaned.metadata == run_notebooks.METADATA
    assert [cell.id for cell in cleaned.cells] == ["cell-001", "cell-002"]
    assert cleaned.cells[0].metadata == {"tags": ["set-up"]}
    texts, errors, shown, kept = cleaned.cells[0].outputs
    assert (texts.text, errors.text) == ("a\nb\n", "c\n")
    assert shown.data == {"text/plain": "Button()"}
    assert kept == picture
    nbformat.validate(cleaned)


def test_a_notebook_of_an_older_format_is_brought_up_to_date() -> None:
    older = nbformat.from_dict({"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 2})
    older.cells.append(nbformat.from_dict({"cell_type": "markdown", "source": "", "metadata": {}}))
    nbformat.validate(run_notebooks.clean(older))


def test_names_choose_notebooks_by_their_beginnings(notebooks: Path) -> None:
    for name in ("00_a", "01_b", "02_c"):
        (notebooks / f"{name}.ipynb").touch()
    assert [path.stem for path in run_notebooks.find(["02", "00_"])] == ["00_a", "02_c"]
    assert [path.stem for path in run_notebooks.find([])] == ["00_a", "01_b", "02_c"]


@pytest.mark.parametrize("names", [["03"], ["00", "b"]])
def test_an_unknown_name_is_an_error(notebooks: Path, names: list[str]) -> None:
    (notebooks / "00_a.ipynb").touch()
    with pytest.raises(SystemExit, match=f"begins with {names[-1]}"):
        run_notebooks.find(names)


def test_an_empty_folder_is_an_error(notebooks: Path) -> None:
    assert notebooks.exists()
    with pytest.raises(SystemExit, match="no notebook"):
        run_notebooks.find([])


def test_what_is_no_notebook_is_reported_and_left_as_it_was(
    notebooks: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = notebooks / "00_a.ipynb"
    path.write_text("{", encoding="utf-8")
    assert call(run_notebooks, monkeypatch) == 1
    assert "00_a.ipynb: FAILED" in capsys.readouterr().out
    assert path.read_text(encoding="utf-8") == "{"


# --- make stability ---


def test_stability_changes_the_surroundings_and_reports_each_run(
    notebooks: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With a stand-in for nbval: it fails under two threads."""
    (notebooks / "00_a.ipynb").touch()
    runs = []

    def nbval(paths: list[Path], seed: int, threads: int) -> subprocess.CompletedProcess[str]:
        runs.append(([path.name for path in paths], seed, threads))
        report = "FAILED 00_a.ipynb::Cell 3\nnothing else"
        return subprocess.CompletedProcess([], int(threads == 2), stdout=report, stderr="")

    monkeypatch.setattr(stability, "nbval", nbval)
    assert call(stability, monkeypatch) == 1
    assert len(runs) == 5
    assert {(seed, threads) for _, seed, threads in runs} == {(1, 1), (1, 2), (2, 1), (2, 2)}
    assert {tuple(names) for names, _, _ in runs} == {("00_a.ipynb",)}
    lines = capsys.readouterr().out.splitlines()
    assert [": ok, " in line for line in lines if line.startswith("run")] == [1, 1, 0, 0, 1]
    assert lines.count("FAILED 00_a.ipynb::Cell 3") == 2
    assert "nothing else" not in lines


def test_stability_without_notebooks_fails(
    notebooks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not list(notebooks.iterdir())
    assert call(stability, monkeypatch) == 1


@pytest.mark.parametrize(("seed", "threads"), [(1, 2), (2, 1)])
def test_one_run_is_strict_nbval_with_that_seed_and_threads(
    notebooks: Path, seed: int, threads: int
) -> None:
    """The notebook prints what was stored under seed 1 and two threads, and only there."""
    source = "import os\nprint(os.environ['PYTHONHASHSEED'], os.environ['OMP_NUM_THREADS'])"
    stored = [new_output("stream", text="1 2\n")]
    cell = new_code_cell(source, execution_count=1, outputs=stored)
    path = notebooks / "00_a.ipynb"
    nbformat.write(new_notebook(cells=[cell]), path)
    done = stability.nbval([path], seed, threads)
    assert done.returncode == (0 if (seed, threads) == (1, 2) else 1), done.stdout
    assert ("FAILED" in done.stdout) == (done.returncode == 1)
