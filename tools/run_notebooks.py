"""Execute notebooks from top to bottom and store what they print, as they are committed.

    python tools/run_notebooks.py                     # all of notebooks/
    python tools/run_notebooks.py 01 04               # those whose names begin so

A notebook that fails is left as it was. Views of widgets and their stored state are dropped (they
are dead where nothing runs; the picture that a widget carries stays), and so is everything that
changes from run to run without meaning: times, the name of the kernel's Python.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat.reader import NotJSONError
from notebook_page import WIDGET_VIEW

from sema_lite.results import whole_file

FAILURES = (CellExecutionError, CellTimeoutError, DeadKernelError, NotJSONError)
ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = ROOT / "notebooks"
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def find(names: list[str]) -> list[Path]:
    """The notebooks whose file names begin with one of `names`; without names, all."""
    notebooks = sorted(NOTEBOOKS.glob("*.ipynb"))
    if not notebooks:
        sys.exit("there is no notebook in notebooks/")
    unknown = [n for n in names if not any(path.name.startswith(n) for path in notebooks)]
    if unknown:
        sys.exit(f"no notebook in notebooks/ begins with {', '.join(unknown)}")
    return [p for p in notebooks if not names or p.name.startswith(tuple(names))]


def execute(path: Path) -> Any:
    """The notebook, executed by this Python in its own folder, and cleaned.

    Raises:
        CellExecutionError: a cell failed; other `FAILURES`: it hung, died, or is no notebook.
    """
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=600,
        kernel_name="python3",
        resources={"metadata": {"path": str(path.parent)}},
    )
    client.create_kernel_manager()
    client.km.kernel_spec.argv[0] = sys.executable  # not whichever Python a user's kernel names
    client.execute()
    return clean(notebook)


def clean(notebook: Any) -> Any:
    """Drop what is dead in a stored notebook, and what differs from run to run."""
    notebook.metadata = nbformat.from_dict(METADATA)
    notebook.nbformat_minor = 5  # the first with names of cells
    for number, cell in enumerate(notebook.cells, 1):
        cell.id = f"cell-{number:03d}"
        cell.metadata = nbformat.from_dict(
            {"tags": cell.metadata["tags"]} if cell.metadata.get("tags") else {}
        )
        if cell.cell_type == "code":
            cell.outputs = joined([output for output in cell.outputs if alive(output)])
    return notebook


def alive(output: Any) -> bool:
    """Whether anything is left of an output once its view of a widget is dropped."""
    data = output.get("data", {})
    data.pop(WIDGET_VIEW, None)
    return bool(data) or "data" not in output


def joined(outputs: list[Any]) -> list[Any]:
    """Printed text in one piece; it arrives in pieces, which differ from run to run."""
    found: list[Any] = []
    for output in outputs:
        if found and "name" in output and output.name == found[-1].get("name"):
            found[-1].text += output.text
        else:
            found.append(output)
    return found


def main() -> int:
    """Execute the notebooks that are named; the exit code says whether all went well."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("names", nargs="*", help="how the names begin, such as 03 (default: all)")
    failed = 0
    for path in find(parser.parse_args().names):
        started = time.monotonic()
        try:
            notebook = execute(path)
        except FAILURES as error:
            failed += 1
            print(f"{path.name}: FAILED, left as it was\n{error}", flush=True)
            continue
        with whole_file(path) as file:
            file.write((nbformat.writes(notebook) + "\n").encode())
        print(f"{path.name}: {time.monotonic() - started:.1f} s", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
