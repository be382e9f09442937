"""Make all badges, Colab links and install addresses name one repository.

    make badges                      # say which it is, and make everything agree with it
    make badges REPO=owner/name      # a fork: change the name first

The name stands in one place, `[project.urls] Repository` in pyproject.toml. From there it is
written into the notebooks and the pages that show it. Nothing else in these files changes.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from sema_lite.results import whole_file

ROOT = Path(__file__).resolve().parent.parent
PAGES = ("README.md", "CONTRIBUTING.md", "CITATION.cff")
NAME = r"[A-Za-z0-9-]+/[A-Za-z0-9_.-]*[A-Za-z0-9_-]"  # a full stop after it is not part of it
REPOSITORY = re.compile(rf'^(Repository = "https://github\.com/)({NAME})(")(?=\r?$)', re.MULTILINE)
# What GitHub accepts as owner/name; a name that ends in ".git" would be cut in addresses.
VALID = re.compile(
    r"(?![^/]*--)[A-Za-z0-9](?:[A-Za-z0-9-]{0,37}[A-Za-z0-9])?"
    r"/[A-Za-z0-9_.-]{1,100}(?<!\.git)(?<!\.)"
)
COLAB = "https://colab.research.google.com"
BADGE = re.compile(r"\[!\[Open In Colab\]\([^()\s]*\)\]\([^()\s]*\)")
# Where our own name stands in text: the first group stays, the second is the name.
PLACES = [
    re.compile(rf"({re.escape(COLAB)}/github/)({NAME})(?=/blob/main/notebooks/)"),
    re.compile(rf"(git\+https://github\.com/)({NAME})"),
    re.compile(rf"(git clone https://github\.com/)({NAME})"),
    re.compile(rf"(repository-code: https://github\.com/)({NAME})"),
]
CLONE = re.compile(r"(git clone https://github\.com/[\w.-]+/([\w.-]+) && cd )[\w.-]+")


def repository(root: Path = ROOT) -> str:
    """The repository's owner/name, as pyproject.toml has it.

    Raises:
        ValueError: there is not exactly one such line.
    """
    found = REPOSITORY.findall((root / "pyproject.toml").read_text(encoding="utf-8"))
    if len(found) != 1:
        raise ValueError(
            f'pyproject.toml needs one line Repository = "https://github.com/owner/name", '
            f"it has {len(found)}"
        )
    return found[0][1]


def colab_link(repo: str, path: str) -> str:
    """The address under which Colab opens the notebook `path` of a repository."""
    return f"{COLAB}/github/{repo}/blob/main/{path}"


def badge(repo: str, path: str) -> str:
    """The badge, in markdown, that opens the notebook `path` of a repository in Colab."""
    return f"[![Open In Colab]({COLAB}/assets/colab-badge.svg)]({colab_link(repo, path)})"


def renamed(text: str, repo: str) -> str:
    """`text` with `repo` wherever the repository's name stands in it."""
    for place in PLACES:
        text = place.sub(lambda match: match[1] + repo, text)
    return CLONE.sub(r"\1\2", text)


def rewrite(root: Path, repo: str) -> list[str]:
    """Make all files of a checkout name `repo`; the names of those that changed.

    Files are changed as text. A notebook is not read as JSON and written again, so nothing in it
    but the addresses can change.
    """
    changed = []
    for path in [root / "pyproject.toml", *(root / name for name in PAGES), *notebooks(root)]:
        if not path.exists():
            continue
        name = path.relative_to(root).as_posix()
        before = path.read_bytes().decode("utf-8")
        after = renamed(REPOSITORY.sub(rf"\g<1>{repo}\g<3>", before), repo)
        if path.suffix == ".ipynb":  # its badge opens this notebook, wherever it was copied from
            after = BADGE.sub(badge(repo, name), after)
        if after != before:
            with whole_file(path) as file:
                file.write(after.encode("utf-8"))
            changed.append(name)
    return changed


def notebooks(root: Path) -> list[Path]:
    """All notebooks of a checkout, assignments too."""
    found = sorted((root / "notebooks").rglob("*.ipynb"))
    return [path for path in found if ".ipynb_checkpoints" not in path.parts]


def main() -> int:
    """Rewrite what has to be; 2 when the name that was given, or pyproject.toml, is wrong."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("repo", nargs="?", default="", help="owner/name on GitHub")
    repo = parser.parse_args().repo
    try:
        repo = repo or repository(ROOT)
        repository(ROOT)
        if not VALID.fullmatch(repo):
            raise ValueError(f"REPO must be owner/name as on GitHub, got {repo!r}")
    except ValueError as error:
        print(f"badges: {error}", file=sys.stderr)
        return 2
    changed = rewrite(ROOT, repo)
    print(f"badges: everything names {repo}; changed: {', '.join(changed) or 'nothing'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
