"""A place to run students' code in: the kernel's own means, by util-linux's `unshare`.

On Linux the program inside sees

* a file system of its own, read-only: Python, its packages and this library; not the home folder,
  not the submissions, not the assignments' sources, nor `/proc`, `/sys` and `/etc`;
* one writable folder, /tmp, in memory, of limited size, which vanishes at the end;
* no network, none of the other processes, no privileges, and limits on memory, processor time,
  processes, open files and the size of a file.

All of its processes end when the first one ends. Where that is not possible (macOS, Windows,
a kernel or a container that forbids it) `missing()` says what is not contained.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

LIBRARY = Path(__file__).resolve().parent.parent  # the folder sema_lite
TOOLS = ("unshare", "setpriv", "prlimit", "mount", "umount", "pivot_root")
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
DATA = "/data"
CPUS = "/sys/devices/system/cpu"

# The new root is made of a memory file system and of read-only views; then the old one is let go.
ENTER = """\
set -e
root=$1 table=$2 identity=$3
mount -t tmpfs -o size=8m,mode=755 tmpfs "$root"
for folder in /bin /sbin /lib /lib32 /lib64; do
    if [ -L $folder ]; then ln -s "$(readlink $folder)" "$root$folder"; fi
done
mkdir -p "$root/dev" "$root/etc" "$root/old"
for device in null zero random urandom; do : > "$root/dev/$device"; done
if [ -e /etc/ld.so.cache ]; then : > "$root/etc/ld.so.cache"; fi
if [ -e /proc/cpuinfo ]; then cp /proc/cpuinfo "$root/etc/cpuinfo"; fi  # torch asks for it
mount -a -T "$table"
cd "$root"
pivot_root . old
umount -l /old
mount -t tmpfs -o size=1m,mode=555 tmpfs /proc
if [ -e /etc/cpuinfo ]; then cp /etc/cpuinfo /proc/cpuinfo; fi
mount -o remount,ro /proc
mount -o remount,ro /
cd /tmp
shift 3
exec setpriv $identity --inh-caps=-all --bounding-set=-all --no-new-privs "$@"
"""


@dataclass(frozen=True)
class Limits:
    """What a submission may use.

    Attributes:
        seconds: for everything together, by the clock.
        part_seconds: of computing, for a single cell, and for a single test. (A cell may take twice
            as long by the clock; a test all of `seconds`: the computer may be busy.)
        memory: bytes, of one process; all processes together may have twice as much.
        output: characters that may be printed in all cells, and in each test.
        files: bytes of all files together.
        processes: beyond one for each test.
    """

    seconds: float = 120.0
    part_seconds: float = 30.0
    memory: int = 2_000_000_000
    output: int = 1_000_000
    files: int = 64_000_000
    processes: int = 16


def missing() -> str:
    """What this system cannot contain, as one sentence; "" if it contains everything."""
    if os.name != "posix":
        return "students' code cannot be run here at all: it needs fork, as on Linux and macOS"
    why = _forbidden()
    if not why:
        return ""
    return (
        f"{why}. So a submission could read and change your files, this course's tests and other "
        "submissions among them, use the network, and start processes without end or leave them "
        "behind"
    )


@lru_cache(maxsize=1)
def _forbidden() -> str:
    if sys.platform != "linux":
        return "Submissions are contained on Linux only"
    absent = [tool for tool in TOOLS if not shutil.which(tool, path=PATH)]
    if absent:
        return f"Submissions are not contained: {', '.join(absent)} (util-linux) is not installed"
    with Room(Limits(), 0, ()) as room:
        command = room.command(["/bin/sh", "-c", "exit 42"])
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode == 42:
        return ""
    said = done.stderr.strip().splitlines()[:1] or ["no reason given"]
    return f"Submissions are not contained: this system forbids it ({said[0]})"


class Room:
    """One sandbox, for one submission; use it as a context.

    Args:
        tests: how many processes it needs for tests.
        hide: files and folders that must not be seen, if they lie in a folder that is.
    """

    def __init__(self, limits: Limits, tests: int, hide: tuple[Path, ...]) -> None:
        self.limits, self.tests, self.hide = limits, tests, hide

    def __enter__(self) -> Room:
        import tempfile

        self.folder = Path(tempfile.mkdtemp(prefix="sema-lite-grade-"))
        (self.folder / "root").mkdir()
        (self.folder / "work").mkdir()
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def command(self, inner: list[str], contained: bool = True) -> list[str]:
        """The command that runs `inner` in this sandbox."""
        limits = self.limits
        limited = [
            "prlimit",
            # Outside of a sandbox all of the teacher's own processes would count.
            *([f"--nproc={self.tests + limits.processes}"] if contained else []),
            f"--data={limits.memory}",
            f"--fsize={limits.files}",
            f"--cpu={int(limits.seconds) + 5}",
            "--nofile=512",
            "--core=0",
            *inner,
        ]
        if not contained:
            return limited if shutil.which("prlimit") and sys.platform == "linux" else inner
        # Root gives up being root; anybody else is root in a world of their own, without powers.
        root = os.geteuid() == 0
        user = random.SystemRandom().randrange(2**20, 2**30)
        identity = f"--reuid={user} --regid={user} --clear-groups" if root else ""
        enter, table = self.folder / "enter.sh", self.folder / "table"
        enter.write_text(ENTER)
        table.write_text(self._table())
        world = [] if root else ["--user", "--map-root-user"]
        spaces = ["--mount", "--pid", "--net", "--ipc", "--uts", "--fork", "--kill-child"]
        script = ["sh", str(enter), str(self.folder / "root"), str(table), identity]
        return ["unshare", *world, *spaces, *script, *limited]

    def _table(self) -> str:
        """What is mounted where, in the form of /etc/fstab."""
        root = self.folder / "root"
        lines: list[tuple[object, Path, str, str]] = []
        lines.append(("/proc", root / "proc", "none", "rbind,X-mount.mkdir"))
        # Before the views: this Python itself may lie below /tmp.
        size = f"size={self.limits.files},nr_inodes=4096,mode=1777,nosuid,nodev,X-mount.mkdir"
        lines.append(("tmpfs", root / "tmp", "tmpfs", size))
        views = {Path(folder): root / folder.lstrip("/") for folder in seen_folders()}
        views[LIBRARY] = root / "grader" / "sema_lite"
        views |= {Path(data): root / place.lstrip("/") for data, place in data_folders().items()}
        for folder, place in views.items():
            lines.append((folder, place, "none", "rbind,ro,nosuid,nodev,X-mount.mkdir"))
        for secret in self.hide:
            for folder, place in views.items():
                if secret.is_dir() and secret.is_relative_to(folder):
                    inside = place / secret.relative_to(folder)
                    lines.append(("tmpfs", inside, "tmpfs", "ro,size=4k,mode=555"))
        if os.path.isdir(CPUS):
            lines.append((CPUS, root / CPUS.lstrip("/"), "none", "rbind,ro,X-mount.mkdir"))
        for name in ("null", "zero", "random", "urandom"):
            lines.append((f"/dev/{name}", root / "dev" / name, "none", "bind"))
        if Path("/etc/ld.so.cache").exists():
            lines.append(("/etc/ld.so.cache", root / "etc/ld.so.cache", "none", "bind,ro"))
        escaped = str.maketrans({" ": r"\040", "\t": r"\011", "\\": r"\134"})
        return "".join(
            f"{str(what).translate(escaped)} {str(where).translate(escaped)} {kind} {how} 0 0\n"
            for what, where, kind, how in lines
        )

    def environment(self, contained: bool = True) -> dict[str, str]:
        """The variables that the program inside sees: nothing of the teacher's own."""
        work = "/tmp" if contained else str(self.folder / "work")
        values = {
            "PATH": PATH,
            "HOME": work,
            "TMPDIR": work,
            "USER": "student",
            "LANG": "C.UTF-8",
            "PYTHONHASHSEED": "0",
            "MPLBACKEND": "Agg",
            "MPLCONFIGDIR": work,
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": "/grader" if contained else str(LIBRARY.parent),
        }
        if contained or os.environ.get("PYTHONDONTWRITEBYTECODE"):
            values["PYTHONDONTWRITEBYTECODE"] = "1"
        for data, place in data_folders().items():
            if place == DATA:
                values["SEMA_LITE_DATA"] = place if contained else data
        return values


@lru_cache(maxsize=1)
def seen_folders() -> list[str]:
    """The folders with Python, its packages and the system's libraries, none within another."""
    wanted = {"/usr", sys.prefix, sys.base_prefix, os.path.realpath(sys.base_prefix)}
    for folder in ("/bin", "/sbin", "/lib", "/lib32", "/lib64"):
        if os.path.isdir(folder) and not os.path.islink(folder):
            wanted.add(folder)
    return sorted(
        path for path in wanted if not any(Path(other) in Path(path).parents for other in wanted)
    )


def data_folders() -> dict[str, str]:
    """The folders with data sets and stored runs, and where they are seen inside."""
    found = {}
    if os.path.isdir(os.environ.get("SEMA_LITE_DATA", "")):
        found[os.path.realpath(os.environ["SEMA_LITE_DATA"])] = DATA
    if (LIBRARY.parent / "data" / "results").is_dir():
        found[str(LIBRARY.parent / "data" / "results")] = "/grader/data/results"
    return found
