"""Make this checkout's virtual environment, `.venv`, and install the project in it.

The Makefile calls this before every target that needs the environment. When nothing has changed
since the last complete installation it prints nothing and does nothing. It uses the standard
library only: it runs before anything is installed.

    python3 tools/setup_env.py --extras test,grading
"""

import sys

# Before anything that an older Python cannot read, so that it says this and not "syntax error".
if sys.version_info < (3, 10):  # noqa: UP036
    found = ".".join(str(part) for part in sys.version_info[:3])
    sys.exit(
        f"set-up: sema-lite needs Python 3.10 or newer, and {sys.executable} is Python {found}.\n"
        "        Name a newer one, for example: make lab PYTHON=python3.12"
    )

import argparse
import hashlib
import importlib.util
import json
import os
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STAMP = VENV / ".sema-lite-installed"
INPUTS = ("pyproject.toml", "constraints.txt")  # what an installation depends on
WINDOWS = os.name == "nt"


def main() -> int:
    """Install if something is missing or has changed; the exit code of the installation."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--extras", default="test,grading", help="extras of pyproject.toml")
    wanted = {extra for extra in parser.parse_args().extras.split(",") if extra}

    stamp = read_stamp()
    state = {"root": str(ROOT), **{name: digest(ROOT / name) for name in INPUTS}}
    same = all(stamp.get(key) == value for key, value in state.items())
    if python().exists() and same and wanted <= set(stamp["extras"]):
        return 0

    started = time.monotonic()
    if stamp.get("root") == state["root"]:
        wanted |= set(stamp["extras"])  # what was asked for before stays installed
    STAMP.unlink(missing_ok=True)  # from here until the end the environment is not complete
    say(f"installing sema-lite[{','.join(sorted(wanted))}] in .venv. The first time this")
    say("downloads some GB on Linux, most of it torch's GPU parts.")
    # An unfinished environment of another Python is not used again, nor one whose folder moved.
    moved = stamp.get("root", state["root"]) != state["root"]
    if moved or not usable(complete=bool(stamp)):
        make_venv()
    if not install(f".[{','.join(sorted(wanted))}]"):
        say("the installation failed; the lines above say why. Nothing is marked as installed,")
        say("so the same command tries again.")
        return 1
    new = STAMP.with_suffix(".new")
    new.write_text(json.dumps({**state, "extras": sorted(wanted)}, indent=1), encoding="utf-8")
    os.replace(new, STAMP)
    say(f"done in {time.monotonic() - started:.0f} s.")
    return 0


def say(text: str) -> None:
    """One line, at once, so that it stays in order with the output of pip and uv."""
    print(f"set-up: {text}", flush=True)


def python() -> Path:
    """The environment's own interpreter."""
    return VENV / ("Scripts/python.exe" if WINDOWS else "bin/python")


def digest(path: Path) -> str:
    """A digest of a text file that does not depend on how its lines end."""
    return hashlib.sha256(path.read_bytes().replace(b"\r\n", b"\n")).hexdigest()


def read_stamp() -> dict:
    """What the last complete installation was made from; empty if there was none."""
    try:
        stamp = json.loads(STAMP.read_text(encoding="utf-8"))
        return stamp if isinstance(stamp.get("extras"), list) else {}
    except (OSError, ValueError, AttributeError):
        return {}


def usable(*, complete: bool) -> bool:
    """Whether `.venv` has an interpreter that starts, of a fitting version.

    A complete environment keeps its Python, whatever `python3` is today; an unfinished one was
    perhaps given up, and the Python that was named instead is the one that counts.
    """
    fits = "< (3, 10)" if complete else f"[:2] != {sys.version_info[:2]}"
    test = f"import sys; sys.exit(sys.version_info{fits})"
    try:
        return run(str(python()), "-c", test)
    except OSError:
        return False


def make_venv() -> None:
    """A new, empty `.venv`; exits with advice where Python cannot make one."""
    missing = [name for name in ("venv", "ensurepip") if importlib.util.find_spec(name) is None]
    if missing:
        sys.exit(
            f"set-up: this Python has no module {missing[0]!r}, so it cannot make a virtual\n"
            "        environment. On Debian and Ubuntu: sudo apt install python3-venv"
        )
    if VENV.exists():
        say("the .venv that is here cannot be used (unfinished, moved, or of another Python);")
        say("making it anew.")
    if not run(sys.executable, "-m", "venv", "--clear", str(VENV)):
        sys.exit("set-up: could not make .venv; the lines above say why.")


def install(what: str) -> bool:
    """Install `what`, editable, at the versions of constraints.txt: with uv, else with pip."""
    target = ("-c", "constraints.txt", "-e", what)
    pip = (str(python()), "-m", "pip")
    if not run(*pip, "--version", quiet=True):
        run(str(python()), "-m", "ensurepip")
    # uv installs the same packages as pip in a quarter of the time.
    if run(*pip, "install", "--quiet", "--disable-pip-version-check", "uv"):
        os.environ.setdefault("UV_HTTP_TIMEOUT", "300")  # seconds; torch's files are large
        if run(str(python()), "-m", "uv", "pip", "install", "--python", str(python()), *target):
            return True
        say("uv could not install it; trying pip, which is slower.")
    else:
        say("uv cannot be had here; using pip, which is slower.")
    return run(*pip, "install", "--disable-pip-version-check", *target)


def run(*command: str, quiet: bool = False) -> bool:
    """Run a command in the checkout's folder; whether it succeeded."""
    out = subprocess.DEVNULL if quiet else None
    return subprocess.run(command, cwd=ROOT, stdout=out, stderr=out).returncode == 0


if __name__ == "__main__":
    sys.exit(main())
