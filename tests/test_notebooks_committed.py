"""The notebooks of this checkout follow the rules of tools/check_notebooks.py."""

from __future__ import annotations

import re
from pathlib import Path

import badges
import check_notebooks
import pytest

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_follows_the_rules(path: Path) -> None:
    findings = check_notebooks.check(path)
    assert not findings, "\n" + "\n".join(findings)


def test_notebooks_are_numbered_without_gaps() -> None:
    assert [path.name[:3] for path in NOTEBOOKS] == [f"{n:02}_" for n in range(len(NOTEBOOKS))]
    assert NOTEBOOKS


def test_everything_names_the_repository_of_pyproject() -> None:
    """What `make badges` would change: nothing."""
    repo = badges.repository(ROOT)
    for path in [ROOT / name for name in badges.PAGES] + badges.notebooks(ROOT):
        text = path.read_bytes().decode("utf-8")
        assert badges.renamed(text, repo) == text, f"run make badges: {path.name}"


@pytest.mark.parametrize(
    ("page", "row"),
    [
        ("README.md", r"\(notebooks/([0-9]\w+\.ipynb)\) \| [^|]+ \| (\d+) min \|"),
        ("notebooks/00_start_here.ipynb", r"\(([0-9]\w+\.ipynb)\) \| [^|]+ \| (\d+) \|"),
    ],
)
def test_the_maps_list_every_notebook_with_its_own_time(page: str, row: str) -> None:
    listed = dict(re.findall(row, (ROOT / page).read_text(encoding="utf-8")))
    times = {}
    for path in NOTEBOOKS:
        found = re.search(r"Time to read\*\*: (\d+) minutes", path.read_text(encoding="utf-8"))
        assert found, path.name
        times[path.name] = found[1]
    times = {name: time for name, time in times.items() if not page.endswith(name)}
    assert listed == times
