"""The notebooks run with networking off. `make test-offline` runs the whole suite that way."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parent.parent
OFFLINE = (sys.executable, str(ROOT / "tools" / "offline.py"))
CANNOT = 77  # exit code of tools/offline.py where the system does not allow it
NOTEBOOKS = [
    path for path in sorted((ROOT / "notebooks").glob("*.ipynb")) if path.name[:2] in ("00", "04")
]
# 192.0.2.1 is an address for examples; no packet would be sent to it by connecting a UDP socket.
FAR = "import socket\nsocket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect(('192.0.2.1', 9))"


def offline(*command: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([*OFFLINE, *command], cwd=ROOT, capture_output=True, text=True)
    if done.returncode == CANNOT:
        pytest.skip(done.stdout.strip())
    return done


@pytest.fixture(scope="module", autouse=True)
def possible() -> None:
    if sys.platform != "linux":
        pytest.skip("networking can be switched off for one program on Linux only")
    offline(sys.executable, "-c", "pass")


def nbval(*paths: Path) -> subprocess.CompletedProcess[str]:
    options = ("--nbval", "--nbval-current-env", "-q", "-p", "no:cacheprovider")
    return offline(sys.executable, "-m", "pytest", *options, *map(str, paths))


def test_nothing_but_loopback_can_be_reached() -> None:
    done = offline(sys.executable, "-c", FAR)
    assert done.returncode == 1
    assert "Network is unreachable" in done.stderr
    names = offline(sys.executable, "-c", "import socket; print(socket.if_nameindex())").stdout
    assert names == "[(1, 'lo')]\n"


def test_loopback_works() -> None:
    code = "import socket; s = socket.create_server(('127.0.0.1', 0)); "
    code += "socket.create_connection(s.getsockname(), 5); print('reached')"
    assert offline(sys.executable, "-c", code).stdout == "reached\n"


def test_the_exit_code_is_that_of_the_command() -> None:
    assert offline(sys.executable, "-c", "raise SystemExit(5)").returncode == 5


def test_this_process_keeps_its_network() -> None:
    assert len(socket.if_nameindex()) >= 1
    before = socket.if_nameindex()
    offline(sys.executable, "-c", "pass")
    assert socket.if_nameindex() == before


def test_a_notebook_that_needs_the_network_fails(tmp_path: Path) -> None:
    for name, source in (("far", FAR), ("near", "print('no network needed')")):
        cell = nbformat.v4.new_code_cell(source, execution_count=1)
        if name == "near":
            cell.outputs = [nbformat.v4.new_output("stream", text="no network needed\n")]
        nbformat.write(nbformat.v4.new_notebook(cells=[cell]), tmp_path / f"{name}.ipynb")
    done = nbval(tmp_path / "near.ipynb", tmp_path / "far.ipynb")
    assert "1 failed, 1 passed" in done.stdout
    assert "Network is unreachable" in done.stdout


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_passes_without_network(path: Path) -> None:
    done = nbval(path)
    assert done.returncode == 0, done.stdout[-3000:]


def test_offline_without_a_command_explains_itself() -> None:
    done = subprocess.run(OFFLINE, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("usage:")
