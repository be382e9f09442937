"""Do the notebooks print the same every time? Strict nbval, five times, in changed surroundings.

    make stability                                       # or:
    python tools/stability.py notebooks/03_swa.ipynb     # only these

The order of sets and dicts keyed by objects depends on PYTHONHASHSEED, and the last digits of long
sums on the number of threads. Each run prints one line; the exit code is 1 if any failed.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RUNS = [(1, 1), (2, 1), (1, 2), (2, 2), (1, 1)]  # (PYTHONHASHSEED, threads)
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def nbval(paths: list[Path], seed: int, threads: int) -> subprocess.CompletedProcess[str]:
    """One run of strict nbval over the notebooks."""
    variables = dict.fromkeys(THREADS, str(threads)) | {"PYTHONHASHSEED": str(seed)}
    command = [sys.executable, "-m", "pytest", "--nbval", "--nbval-current-env", "-q", "-rf"]
    command += ["-p", "no:cacheprovider", *map(str, paths)]
    environment = {**os.environ, **variables}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)


def main() -> int:
    """Run them all; 1 if any run failed or there was nothing to run."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument(
        "paths", nargs="*", type=Path, help="notebooks (default: notebooks/*.ipynb)"
    )
    named = [path.resolve() for path in parser.parse_args().paths]
    paths = named or sorted((ROOT / "notebooks").glob("*.ipynb"))
    if not paths:
        print("stability: there is no notebook in notebooks/")
        return 1
    failed = 0
    for number, (seed, threads) in enumerate(RUNS, 1):
        started = time.monotonic()
        done = nbval(paths, seed, threads)
        verdict = "ok" if done.returncode == 0 else "FAILED"
        seconds = time.monotonic() - started
        run = f"run {number}: PYTHONHASHSEED={seed}, {threads} thread{'s' * (threads > 1)}"
        print(f"{run}: {verdict}, {seconds:.0f} s", flush=True)
        if done.returncode:
            failed += 1
            lines = [
                line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))
            ]
            print("\n".join(lines) or (done.stdout + done.stderr)[-2000:], flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
