"""The assignments: the release is what the source gives and holds nothing of the teacher's; the
source scores full marks, an untouched release scores nothing, typical mistakes lose the points they
should, with a message that names them."""

from __future__ import annotations

import contextlib
import functools
import io
import json
import re
import subprocess
import sys
from typing import Any

import assignments
import badges
import nbclient
import nbformat
import pytest
from IPython.core.inputtransformer2 import TransformerManager
from wrong_solutions import ASSIGNMENTS, WRONG, Wrong, patched, path_of, read, submission

from sema_lite.grading.source import Assignment

NAMES = ("A1", "A2", "A3", "A4")
MANUAL = {"question", "seen", "conclusion"}  # read by a person
SECONDS = {"A1": 60, "A2": 60, "A3": 120, "A4": 240}  # generous: the machine may be busy

Notebook = Any


def kind(cell: Any) -> str:
    """ "given", "solution", "test", "manual", "show", or "" for the rest."""
    meta = cell.metadata.get("nbgrader", {})
    if meta.get("grade"):
        return "manual" if meta.get("solution") else "test"
    if meta.get("solution"):
        return "solution"
    own = cell.metadata.get("sema_lite", {})
    return "given" if own.get("given") else "show" if own.get("show") else ""


def run_cell(cell: Any, space: dict[str, Any]) -> str:
    """Execute a cell as a notebook would; "" or the message of what stopped it."""
    code = compile(TransformerManager().transform_cell(cell.source), cell.id, "exec")
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            exec(code, space)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


def grade(notebook: Notebook, only: set[str] | None = None) -> dict[str, str]:
    """grade_id: "" or what stopped it, of each test cell of a source notebook that needs one of
    the names `only`, or of all."""
    space: dict[str, Any] = {"__name__": "__main__"}
    for cell in notebook.cells:
        if kind(cell) in ("given", "solution"):
            assert not run_cell(cell, space), cell.id
    return {
        cell.id: run_cell(cell, space)
        for cell in notebook.cells
        if kind(cell) == "test" and (only is None or only & set(cell.metadata.sema_lite.needs))
    }


def with_tests(handed_in: Notebook, name: str) -> Notebook:
    """A notebook that was handed in, with the test cells of the source put back."""
    sources = {cell.id: cell.source for cell in read(name).cells if kind(cell) == "test"}
    for cell in handed_in.cells:
        cell.source = sources.get(cell.id, cell.source)
    return handed_in


def executed(notebook: Notebook, name: str, folder: Any) -> Notebook:
    """The notebook after a run from top to bottom in a kernel of its own, in an empty folder."""
    client = nbclient.NotebookClient(
        notebook,
        timeout=SECONDS[name],
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
    )
    client.create_kernel_manager()
    client.km.kernel_spec.argv[0] = sys.executable
    client.execute()
    return notebook


def printed(notebook: Notebook) -> str:
    """All that a notebook printed."""
    outputs = [o for c in notebook.cells if c.cell_type == "code" for o in c.outputs]
    return "".join(o.text for o in outputs if o.output_type == "stream")


# -- the source ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_the_source_scores_full_marks(name: str) -> None:
    failed = {test: said for test, said in grade(read(name)).items() if said}
    assert not failed


@pytest.mark.parametrize("name", NAMES)
def test_points_are_those_of_the_text(name: str) -> None:
    notebook = read(name)
    points = assignments.points(notebook)
    assert sum(points.values()) == assignments.stated_points(notebook) == 30
    assert all(2 <= value <= 10 for value in points.values())
    table = re.findall(r"^\| (\d) \|.*", notebook.cells[0].source, re.MULTILINE)
    stated = [cell for cell in notebook.cells if cell.id.startswith("task-")]
    assert [cell.id for cell in stated] == [f"task-{number}" for number in table]
    for cell in stated:
        assert re.search(r"^Difficulty: (easy|medium|hard)\. Time: \d+ minutes", cell.source, re.M)
    in_tasks = [re.search(r"Points: (.*)\.$", c.source, re.M)[1] for c in stated]  # type: ignore[index]
    in_table = re.findall(
        r"\| (\d+(?: \+ \d+)*) \|(?: a person \|| tests \|)?$",
        notebook.cells[0].source,
        re.MULTILINE,
    )
    sums = [sum(map(int, re.findall(r"\d+", text))) for text in in_table]
    assert sum(sums) == 30
    for text, total in zip(in_tasks, sums, strict=True):
        assert sum(map(int, re.findall(r"\b\d+\b", text))) == total, text


@pytest.mark.parametrize("name", NAMES)
def test_each_test_cell_says_what_it_needs(name: str) -> None:
    """A grader that lost the metadata finds the student's definitions by these names."""
    notebook = read(name)
    defined: set[str] = set()
    for cell in notebook.cells:
        if kind(cell) == "solution":
            names = cell.metadata.sema_lite.defines
            assert set(names) == set(re.findall(r"^(?:def|class) (\w+)", cell.source, re.M)), (
                cell.id
            )
            defined |= set(names)
    for cell in notebook.cells:
        if kind(cell) == "test":
            needs = cell.metadata.sema_lite.needs
            assert needs, cell.id
            assert set(needs) <= defined, cell.id
            call = cell.source.split("### END HIDDEN TESTS")[0].rstrip().splitlines()[-1]
            assert call == f"hidden({', '.join(sorted(needs, key=call.index))})", cell.id
            assert "### BEGIN HIDDEN TESTS" in cell.source, cell.id
        if "nbgrader" in cell.metadata:
            assert cell.metadata.nbgrader.grade_id == cell.id


@pytest.mark.parametrize("name", NAMES)
def test_a_test_cell_runs_with_the_names_it_needs_alone(name: str) -> None:
    notebook = read(name)
    for cell in notebook.cells:
        if kind(cell) != "test" or cell.id == "test-plan-trains":
            continue
        space: dict[str, Any] = {}
        for other in notebook.cells:
            wanted = kind(other) == "solution" and set(other.metadata.sema_lite.defines) & set(
                cell.metadata.sema_lite.needs
            )
            if kind(other) == "given" or wanted:
                assert not run_cell(other, space)
        assert not run_cell(cell, space), cell.id


def test_each_assert_of_the_hidden_tests_has_a_message() -> None:
    import ast

    for name in NAMES:
        for cell in read(name).cells:
            if kind(cell) == "test":
                tree = ast.parse(cell.source)
                bare = [n.lineno for n in ast.walk(tree) if isinstance(n, ast.Assert) and not n.msg]
                assert not bare, f"{cell.id}, lines {bare}"


def test_the_guide_has_the_points_and_mistakes_of_the_tests() -> None:
    guide = (ASSIGNMENTS / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (A\d) \| `([\w-]+)` \| (\d+) \| (.*) \|$", guide, re.MULTILINE)
    wanted = [
        (
            name,
            test,
            str(points),
            "; ".join(w.name for w in WRONG if w.assignment == name and test in w.fails),
        )
        for name in NAMES
        for test, points in assignments.points(read(name)).items()
        if test not in MANUAL
    ]
    assert rows == wanted


# -- the release -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_the_release_is_what_the_source_gives(name: str) -> None:
    made = assignments.content(assignments.release(read(name)))
    assert path_of(name, "release").read_bytes() == made, "run: make assignments"
    assert made == assignments.content(assignments.release(read(name)))


def test_source_and_release_hold_the_same_notebooks() -> None:
    names = [
        [p.name for p in sorted((ASSIGNMENTS / f).glob("*.ipynb"))] for f in ("source", "release")
    ]
    assert names[0] == names[1]
    assert [name[:2] for name in names[0]] == list(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_the_release_holds_nothing_of_the_teacher(name: str) -> None:
    release = {cell.id: cell.source for cell in read(name, "release").cells}
    raw = path_of(name, "release").read_text(encoding="utf-8")
    assert not re.search("BEGIN|END (SOLUTION|HIDDEN)|HIDDEN|hidden\\(", raw)
    everything = "\n".join(release.values())
    for cell in read(name).cells:
        secret: list[str] = []
        if kind(cell) == "manual":
            secret = cell.source.splitlines()
        for mark in ("SOLUTION", "HIDDEN TESTS"):
            parts = re.findall(rf"### BEGIN {mark}\n(.*?)### END {mark}", cell.source, re.S)
            secret += [line for part in parts for line in part.splitlines()]
        for line in map(str.strip, secret):
            # Short lines such as `else:` or `return True` give nothing away.
            known = line in SHOWN or line.startswith(("import ", "from "))
            assert len(line) < 15 or known or line not in everything, f"{cell.id}: {line}"
        message = re.findall(r'"([^"\n]{30,})"', "\n".join(secret))
        assert not [text for text in message if text in everything], cell.id


# What students see on purpose: the lines of A2's broken loop that are right, and a hint of A4.
SHOWN = {
    "fig, ax = plots.figure()",
    "noise, log = random.Random(seed), []",
    "for step in range(1, steps + 1):",
    "w -= 0.1 * (w + noise.gauss(0.0, 1.0))",
    "average = decay * average + (1 - decay) * w",
    "log.append(step)",
    "w = average = 2.0",
    "return average, log",
}


@pytest.mark.parametrize("name", NAMES)
def test_the_release_is_clean(name: str) -> None:
    notebook = read(name, "release")
    nbformat.validate(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None
            assert max(map(len, cell.source.splitlines())) <= 100
    path = f"notebooks/assignments/release/{path_of(name).name}"
    assert badges.badge(badges.repository(), path) in notebook.cells[0].source
    links = re.findall(r"\]\((?!https?:)([^)#]+)", "\n".join(c.source for c in notebook.cells))
    missing = [link for link in links if not (ASSIGNMENTS / "release" / link).exists()]
    assert not missing


@pytest.mark.parametrize("name", NAMES)
def test_an_untouched_release_runs_and_scores_nothing(name: str, tmp_path: Any) -> None:
    ran = executed(read(name, "release"), name, tmp_path)
    lines = printed(ran)
    assert "not done yet" in lines
    assert "passed" not in lines
    assert "Error" not in lines
    scores = grade(with_tests(read(name, "release"), name))
    assert all(scores.values()), scores
    for cell in read(name, "release").cells:
        if kind(cell) == "manual":
            assert cell.source == "YOUR ANSWER HERE"
    manual = {cell.id for cell in read(name).cells if kind(cell) == "manual"}
    assert manual == (MANUAL if name == "A4" else set())


@pytest.mark.parametrize("name", NAMES)
def test_what_a_student_hands_in_passes_all_checks_in_a_kernel(name: str, tmp_path: Any) -> None:
    ran = executed(with_tests(submission(name), name), name, tmp_path)
    lines = printed(ran)
    assert "not yet" not in lines
    assert "not done" not in lines
    assert lines.count("passed") == sum(
        "check." in c.source for c in ran.cells if kind(c) == "test"
    ) + (
        name == "A3"  # its last cell, all together
    )


# -- mistakes --------------------------------------------------------------------------------------


def test_there_are_enough_mistakes_and_their_names_differ() -> None:
    for name in NAMES:
        ours = [wrong.name for wrong in WRONG if wrong.assignment == name]
        assert len(ours) == len(set(ours)) >= 8
    assert all(wrong.fails for wrong in WRONG)


@functools.cache
def full(name: str) -> dict[str, list[str]]:
    """The names that each solution cell defines."""
    return {c.id: c.metadata.sema_lite.defines for c in read(name).cells if kind(c) == "solution"}


@pytest.mark.parametrize("wrong", WRONG, ids=[f"{w.assignment}-{w.cell}-{w.name}" for w in WRONG])
def test_a_mistake_loses_its_points_and_is_named(wrong: Wrong) -> None:
    only = set(full(wrong.assignment)[wrong.cell])
    scores = grade(patched(wrong.assignment, wrong), only)
    failed = {test: said for test, said in scores.items() if said}
    assert set(failed) == set(wrong.fails), failed
    for test, word in wrong.fails.items():
        assert word in failed[test], failed[test]


def changed(name: str, old: str, new: str, cell: str) -> Any:
    """The source with another answer in a solution cell."""
    return patched(name, Wrong(name, "another", cell, old, new, {}))


def test_a_figure_with_the_names_on_its_axis_is_right() -> None:
    body = next(c.source for c in read("A4").cells if c.id == "draw")
    body = body[body.index("    for seed in range") : body.index("    ax.set(xlabel")]
    names = (
        "    for name, values in scores.items():\n"
        '        ax.plot([name] * len(values), values, "o")\n'
    )
    assert grade(changed("A4", body, names, "draw"), {"draw"}) == {"test-draw": ""}


def test_an_answer_that_is_not_there_yet_is_no_mistake() -> None:
    for name, cell, test in (
        ("A3", "applied", "test-applied-exception"),
        ("A4", "paired", "test-paired-input"),
    ):
        source = next(c.source for c in read(name).cells if c.id == cell)
        body = source[source.index("    ### BEGIN") :]
        scores = grade(changed(name, body, "    raise NotImplementedError()", cell), {cell})
        assert scores[test] == "NotImplementedError: ", scores[test]


def test_integers_of_numpy_are_numbers_of_switches() -> None:
    new = "import numpy\n    return numpy.int64(max(0, steps - start) // every)"
    notebook = changed("A2", "return max(0, steps - start) // every", new, "expected-switches")
    assert grade(notebook, {"expected_switches"}) == {"test-expected-switches": ""}


@pytest.mark.parametrize("name", NAMES)
def test_the_rows_of_a_page_can_be_told_apart(name: str) -> None:
    titles = [task.title for task in Assignment(path_of(name)).tasks]
    assert len(set(titles)) == len(titles)
    assert not [title for title in titles if "test-" in title]


# -- the tool --------------------------------------------------------------------------------------


def tool(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "tools/assignments.py", *options],
        cwd=ASSIGNMENTS.parent.parent,
        capture_output=True,
        text=True,
    )


def test_check_writes_nothing_and_finds_the_release_fresh() -> None:
    before = [path_of(name, "release").stat().st_mtime_ns for name in NAMES]
    done = tool("--check")
    assert done.returncode == 0, done.stdout + done.stderr
    assert before == [path_of(name, "release").stat().st_mtime_ns for name in NAMES]


def test_the_tool_writes_and_checks(tmp_path: Any, monkeypatch: Any, capsys: Any) -> None:
    source, release = tmp_path / "source", tmp_path / "release"
    source.mkdir()
    (source / "A1_averages_by_hand.ipynb").write_bytes(path_of("A1").read_bytes())
    monkeypatch.setattr(assignments, "SOURCE", source)
    monkeypatch.setattr(assignments, "RELEASE", release)
    monkeypatch.setattr(assignments, "sources", lambda: sorted(source.glob("A*.ipynb")))
    monkeypatch.setattr(sys, "argv", ["assignments.py", "--check"])
    assert assignments.main() == 1
    assert not list(release.glob("*.ipynb"))
    monkeypatch.setattr(sys, "argv", ["assignments.py"])
    assert assignments.main() == 0
    made = release / "A1_averages_by_hand.ipynb"
    assert made.read_bytes() == path_of("A1", "release").read_bytes()
    made.write_text(made.read_text(encoding="utf-8").replace("easy", "hard"), encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["assignments.py", "--check"])
    assert assignments.main() == 1
    assert "not what the source gives: A1" in capsys.readouterr().out


@pytest.mark.parametrize("mark", ["### BEGIN SOLUTION", "### BEGIN HIDDEN TESTS"])
def test_what_would_leak_is_an_error(mark: str) -> None:
    notebook = read("A1")
    cell = nbformat.v4.new_code_cell(f"{mark}\nx = 1\n### END SOLUTION")
    notebook.cells.append(cell)
    with pytest.raises(ValueError, match="no nbgrader metadata"):
        assignments.release(notebook)
    (test,) = [c for c in read("A1").cells if c.id == "test-ema"]
    test.source = test.source.replace("### END HIDDEN TESTS", "")
    notebook = read("A1")
    notebook.cells = [test]
    with pytest.raises(ValueError, match="ClearHiddenTests"):
        assignments.release(notebook)


def test_sources_have_no_outputs_and_sorted_keys() -> None:
    for name in NAMES:
        raw = path_of(name).read_text(encoding="utf-8")
        notebook = json.loads(raw)
        assert not any(cell.get("outputs") for cell in notebook["cells"])
        assert raw.endswith("}\n")
