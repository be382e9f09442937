"""The house itself: dependencies, set-up, what is shipped, and that the papers agree with it."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import inspect
import itertools
import json
import os
import pkgutil
import re
import shutil
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

import sema_lite

ROOT = Path(__file__).resolve().parent.parent
PYTHONS = ("3.10", "3.11", "3.12", "3.13")
# sys_platform, os_name, platform_system, platform_machine
SYSTEMS = (
    ("linux", "posix", "Linux", "x86_64"),
    ("linux", "posix", "Linux", "aarch64"),
    ("darwin", "posix", "Darwin", "arm64"),
    ("win32", "nt", "Windows", "AMD64"),
)
METHODS_TOO = ("sema_lite.reference", "sema_lite.averaging")  # their methods are documented too
CONDA_NAMES = {"torch": "pytorch"}  # where conda-forge calls a package otherwise
# in the pip section of environment.yml
ONLY_PYPI = {"ema-pytorch", "torch-ema", "playwright", "curvlinops-for-pytorch"}

needs_make = pytest.mark.skipif(
    shutil.which("make") is None or os.name == "nt", reason="needs make and sh"
)


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def project() -> dict:
    return tomllib.loads(text("pyproject.toml"))["project"]


def direct() -> list[Requirement]:
    """Every requirement of the library and of all extras, without the extras of its own."""
    groups = [project()["dependencies"], *project()["optional-dependencies"].values()]
    lines = map(Requirement, itertools.chain.from_iterable(groups))
    return [line for line in lines if canonicalize_name(line.name) != project()["name"]]


def marker_environment(python: str, system: tuple[str, str, str, str]) -> dict[str, str]:
    keys = ("sys_platform", "os_name", "platform_system", "platform_machine")
    return {
        **dict(zip(keys, system, strict=True)),
        "python_version": python,
        "python_full_version": f"{python}.9",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "extra": "",
    }


def applies(requirement: Requirement, environment: dict[str, str]) -> bool:
    return requirement.marker is None or requirement.marker.evaluate(environment)


def pins(environment: dict[str, str]) -> dict[str, list[Version]]:
    """The exact versions of constraints.txt in one environment."""
    found: dict[str, list[Version]] = {}
    for pin in map(Requirement, text("constraints.txt").splitlines()):
        if applies(pin, environment):
            version = Version(str(pin.specifier).removeprefix("=="))
            found.setdefault(canonicalize_name(pin.name), []).append(version)
    return found


def tracked() -> list[str]:
    """What git tracks, or would after `git add --all`."""
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("not a git checkout: which files belong to the project is not known")
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    out = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode()
    return sorted({name for name in out.split("\0") if name and (ROOT / name).is_file()})


# --- pyproject.toml, constraints.txt and environment.yml say the same ---


def test_the_library_alone_needs_torch_and_little_else() -> None:
    names = {Requirement(line).name for line in project()["dependencies"]}
    assert names == {"torch", "numpy", "tqdm"}


def test_every_direct_dependency_has_a_lower_bound_and_nothing_more() -> None:
    for requirement in direct():
        operators = [part.operator for part in requirement.specifier]
        assert operators == [">="], f"{requirement}: give the oldest version that works, only"


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda s: f"{s[0]}-{s[3]}")
@pytest.mark.parametrize("python", PYTHONS)
def test_constraints_pin_every_direct_dependency(python: str, system: tuple) -> None:
    environment = marker_environment(python, system)
    versions = pins(environment)
    twice = {name: found for name, found in versions.items() if len(found) != 1}
    assert not twice, "more than one version applies"
    for requirement in direct():
        if applies(requirement, environment):
            name = canonicalize_name(requirement.name)
            assert name in versions, f"{name} is not in constraints.txt: run make constraints"
            (version,) = versions[name]
            assert version in requirement.specifier, f"{name}=={version} does not fit {requirement}"


def test_constraints_hold_names_versions_and_markers_only() -> None:
    line_form = re.compile(r"[a-z0-9][a-z0-9.-]*==[0-9][0-9a-z.!]*( ; [a-zA-Z0-9_ .*'<>=!()]+)?")
    for line in text("constraints.txt").splitlines():
        assert line_form.fullmatch(line), f"not a name, a version and a marker: {line!r}"


def test_environment_yml_lists_the_same_packages_with_the_same_bounds() -> None:
    environment = yaml.safe_load(text("environment.yml"))
    lines = [line for line in environment["dependencies"] if isinstance(line, str)]
    (pip_lines,) = [d["pip"] for d in environment["dependencies"] if isinstance(d, dict)]
    conda = {r.name: r.specifier for r in map(Requirement, lines)}
    assert pip_lines.pop() == "-e .", "the project itself comes last"
    pip = {r.name: r.specifier for r in map(Requirement, pip_lines)}

    python = conda.pop("python")
    assert "pip" in conda, "conda wants pip named where there is a pip section"
    del conda["pip"]
    offered = [v for v in PYTHONS if f"{v}.9" in python]
    assert offered, "no supported Python is let in"
    assert set(pip) == ONLY_PYPI

    wanted = {}
    for requirement in direct():
        environments = [marker_environment(v, SYSTEMS[0]) for v in offered]
        if any(applies(requirement, e) for e in environments):
            name = CONDA_NAMES.get(requirement.name, requirement.name)
            wanted[name] = requirement.specifier
    assert {**conda, **pip} == wanted
    assert not set(conda) & set(pip)


# --- Imports ---

# Runs in an interpreter without site-packages. Whatever is asked for that is neither the standard
# library's nor ours is refused and told, so that a `try: import numpy` is found as well.
ALONE = """
import sys
sys.path.insert(0, sys.argv[1])
asked = []

class Refuse:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        known = {"sema_lite", "org", *sys.stdlib_module_names}  # copy asks for Jython's org
        if top not in known:
            asked.append(name)
            raise ModuleNotFoundError(name, name=name)

sys.meta_path.insert(0, Refuse())
before = set(sys.modules)
for name in sys.argv[2:]:
    __import__(name)
import json
print(json.dumps([asked, sorted(set(sys.modules) - before)]))
"""


def import_alone(*names: str) -> tuple[list[str], set[str]]:
    """What an import asked for outside the standard library, and all modules it loaded."""
    command = [sys.executable, "-I", "-S", "-c", ALONE, str(ROOT), *names]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    asked, loaded = json.loads(done.stdout)
    return asked, set(loaded)


@pytest.mark.parametrize("name", ["reference", "theory", "landscapes"])
def test_imports_nothing_but_the_standard_library(name: str) -> None:
    asked, loaded = import_alone(f"sema_lite.{name}")
    assert asked == []
    assert f"sema_lite.{name}" in loaded


def test_the_reference_imports_in_a_moment() -> None:
    # Not timed: what makes an import slow are the large modules of the standard library.
    _, loaded = import_alone("sema_lite.reference")
    large = {"asyncio", "dataclasses", "inspect", "logging", "multiprocessing", "random", "re"}
    large |= {"subprocess", "tempfile", "unittest", "urllib", "fractions", "decimal", "statistics"}
    large -= import_alone("typing", "contextlib", "numbers")[1]  # Python 3.10's typing loads re
    assert not large & loaded
    ours = {name for name in loaded if name.startswith("sema_lite")}
    assert ours == {"sema_lite", "sema_lite.reference"}


def test_the_package_does_not_import_torch_until_it_is_needed() -> None:
    code = "import sys, sema_lite; print('torch' in sys.modules, 'numpy' in sys.modules)"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


# --- What is shipped ---


def test_a_wheel_holds_the_package_and_nothing_else(tmp_path: Path) -> None:
    try:
        enough = Version(importlib.metadata.version("setuptools")) >= Version("77")
        importlib.metadata.version("pip")
    except importlib.metadata.PackageNotFoundError:
        enough = False
    if not enough:
        pytest.skip("no pip with setuptools>=77 here to build a wheel without network")
    source = tmp_path / "source"
    source.mkdir()
    names = ("sema_lite", "tests", "tools", "pyproject.toml", "README.md", "LICENSE")
    for name in names:  # a copy: a build leaves files behind
        if (ROOT / name).is_dir():
            ignore = shutil.ignore_patterns("__pycache__", "*.egg-info")
            shutil.copytree(ROOT / name, source / name, ignore=ignore)
        else:
            shutil.copy(ROOT / name, source)
    shutil.copytree(ROOT / "data" / "results", source / "data" / "results")
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation"]
    command += ["--no-index", "--quiet", "--wheel-dir", str(tmp_path), str(source)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr

    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        inside = set(archive.namelist())
    info = f"sema_lite-{project()['version']}.dist-info/"
    shipped = {name for name in inside if not name.startswith(info)}
    package = (ROOT / "sema_lite").rglob("*")
    ours = {p.relative_to(ROOT).as_posix() for p in package if p.suffix in (".py", ".typed")}
    assert "sema_lite/py.typed" in ours
    ours |= {f"sema_lite/stored/{p.name}" for p in (ROOT / "data" / "results").glob("*.json")}
    assert shipped == ours
    assert info + "licenses/LICENSE" in inside


def test_checks_are_quick_to_import() -> None:
    """A grader imports them for each submission: no torch where a chapter does not need it."""
    code = "import sys, sema_lite.checks.assignment1; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.split() == ["False"], done.stderr


def test_the_version_is_the_same_everywhere() -> None:
    assert sema_lite.__version__ == project()["version"]
    assert yaml.safe_load(text("CITATION.cff"))["version"] == project()["version"]


def modules() -> list[str]:
    found = pkgutil.walk_packages(sema_lite.__path__, "sema_lite.")
    return ["sema_lite", *(m.name for m in found if not m.name.endswith("__main__"))]


def undocumented(module: object) -> list[str]:
    """What is public in a module and has no docstring; methods only in the classes users call."""
    missing = [] if (module.__doc__ or "").strip() else ["the module"]
    for name, thing in vars(module).items():
        if name.startswith("_") or getattr(thing, "__module__", None) != module.__name__:
            continue
        doc = inspect.getdoc(thing) if inspect.isfunction(thing) else thing.__doc__
        own = inspect.isclass(thing) or inspect.isfunction(thing)
        if own and (not doc or doc.startswith(f"{name}(")):  # as dataclass writes by itself
            missing.append(name)
        if inspect.isclass(thing) and module.__name__ in METHODS_TOO:
            for method, value in vars(thing).items():
                ours = inspect.isfunction(value) or isinstance(value, property)
                # An override without its own words has those of what it overrides.
                if ours and method[0] != "_" and not inspect.getdoc(getattr(thing, method)):
                    missing.append(f"{name}.{method}")
    return missing


@pytest.mark.parametrize("name", modules())
def test_every_public_name_has_a_docstring(name: str) -> None:
    assert undocumented(importlib.import_module(name)) == []


# --- Linters, at the versions of constraints.txt only: others judge otherwise ---


def lint(tool: str, *arguments: str, needs: tuple[str, ...] = ()) -> None:
    python = ".".join(map(str, sys.version_info[:2]))
    versions = pins(marker_environment(python, SYSTEMS[0]))
    for name in (tool, *needs):
        here = Version(importlib.metadata.version(name))
        if here.public != str(versions[name][0]):
            pytest.skip(f"{name} is {here} here, not {versions[name][0]} as in constraints.txt")
    command = [sys.executable, "-m", tool, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_ruff_finds_nothing() -> None:
    lint("ruff", "check", "--no-cache", ".")


def test_ruff_would_format_nothing() -> None:
    lint("ruff", "format", "--check", "--no-cache", ".")


def test_mypy_finds_nothing() -> None:
    lint("mypy", needs=("torch", "numpy"))


# --- What must not be in the repository ---

# A folder of one machine. What comes before it may not be part of an address or of a longer path.
PLACES = re.compile(r"(?<![\w.:~$}-])/(?:home|root|Users|tmp|work|opt|mnt)/\w|\b[A-Z]:\\+Users\\")
# Names and what follows them are joined only here: this file must not name a registry either.
REGISTRIES = {
    "pypi": r"\.(?:org|python)",
    "python(?:hosted)": r"\.",
    "npmjs": r"\.",
    "anaconda": r"\.(?:org|com)",
    "deb": r"\.debian\.",
    "(?:archive|ports)": r"\.ubuntu\.",
    r"https?://\S+/simple": r"\b",
}
HOSTS = re.compile("|".join(name + rest for name, rest in REGISTRIES.items()), re.IGNORECASE)


@pytest.mark.parametrize(
    "parts", [("/", "home/x"), ("/", "tmp/x"), ("C:", "\\Users\\x")], ids="".join
)
def test_places_are_recognized(parts: tuple[str, ...]) -> None:
    assert PLACES.search(f"see {''.join(parts)}")
    assert not PLACES.search(f"https://example.org{''.join(parts)}".replace("C:", "c:"))


@pytest.mark.parametrize("parts", [("pypi", ".org"), ("https://a.b/", "simple/")], ids="".join)
def test_hosts_are_recognized(parts: tuple[str, ...]) -> None:
    assert HOSTS.search("".join(parts))


def test_no_file_names_a_machine_path_or_a_registry() -> None:
    found = []
    for name in tracked():
        data = (ROOT / name).read_bytes()
        if b"\0" in data:
            continue
        for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), 1):
            match = PLACES.search(line) or HOSTS.search(line)
            if match:
                found.append(f"{name}:{number}: {match.group()}")
    assert not found


def test_no_file_is_large() -> None:
    large = {name: (ROOT / name).stat().st_size for name in tracked()}
    assert not {name: size for name, size in large.items() if size > 3_000_000}


# --- The papers agree with what is there ---


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):(?!=)", text("Makefile"), re.MULTILINE))


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", ".ci/run", "Makefile"])
def test_make_targets_that_are_named_exist(page: str) -> None:
    named = set(re.findall(r"(?:^|`|echo \")make ([a-z-]+)", text(page), re.MULTILINE))
    assert named, f"{page} names no target"
    assert named <= make_targets()


def test_every_make_target_is_phony_and_explained() -> None:
    (phony,) = re.findall(r"^\.PHONY: (.+)$", text("Makefile").replace("\\\n", ""), re.MULTILINE)
    assert set(phony.split()) == make_targets()
    explained = set(re.findall(r"echo \"make ([a-z-]+)", text("Makefile")))
    assert explained == make_targets() - {"help"}


def test_readme_shows_the_ways_to_start_in_order() -> None:
    readme = text("README.md")
    ways = ["make lab", "make test", "colab.research", "conda env create", "pip install"]
    places = [readme.find(way) for way in ways]
    assert -1 not in places
    assert places == sorted(places)


def test_the_colab_badge_opens_the_first_notebook() -> None:
    home = project()["urls"]["Repository"].replace("https://github.com/", "")
    start = (
        f"https://colab.research.google.com/github/{home}/blob/main/notebooks/00_start_here.ipynb"
    )
    assert start in text("README.md")
    assert home in text("CITATION.cff")


def headings(page: str) -> list[str]:
    """The anchors that GitHub gives to the headings of a page."""
    titles = re.findall(r"^#+ (.+)$", text(page), re.MULTILINE)
    return [re.sub(r"[^\w -]", "", title).strip().lower().replace(" ", "-") for title in titles]


def test_the_glossary_is_sorted_and_every_entry_is_short() -> None:
    _, *entries = re.split(r"^## ", text("GLOSSARY.md"), flags=re.MULTILINE)
    titles = [entry.splitlines()[0].lower() for entry in entries]
    assert titles == sorted(set(titles))
    for entry in entries:
        body = " ".join(entry.splitlines()[1:]).strip()
        assert 30 < len(body) < 420, entry


def test_links_between_our_pages_lead_somewhere() -> None:
    broken = []
    for name in tracked():
        if not name.endswith((".md", ".ipynb")):
            continue
        page_text = text(name)
        if name.endswith(".ipynb"):  # code has brackets as well
            cells = json.loads(page_text)["cells"]
            sources = ["".join(c["source"]) for c in cells if c["cell_type"] == "markdown"]
            page_text = "\n".join(sources)
        for target in re.findall(r"\]\(([^()\s:\\]+)\)", page_text):
            path, _, anchor = target.partition("#")
            page = (ROOT / name).parent / path if path else ROOT / name
            if not page.exists() or (
                anchor and page.suffix == ".md" and anchor not in headings(str(page))
            ):
                broken.append(f"{name}: {target}")
    assert not broken


def test_the_paper_is_cited() -> None:
    (paper,) = yaml.safe_load(text("CITATION.cff"))["references"]
    assert "2402.09240" in paper["url"]
    assert paper["title"] == "Switch EMA: A Free Lunch for Better Flatness and Sharpness"
    assert [a["family-names"] for a in paper["authors"]][:2] == ["Li", "Liu"]
    assert len(paper["authors"]) == 12


def test_the_workflow_covers_the_range_with_least_permissions() -> None:
    flow = yaml.safe_load(text(".github/workflows/ci.yml"))
    assert flow["permissions"] == {"contents": "read"}
    assert "secrets." not in text(".github/workflows/ci.yml")
    for job in flow["jobs"].values():
        systems = [name.split("-")[0] for name in job["strategy"]["matrix"]["os"]]
        assert systems == ["ubuntu", "macos", "windows"]
    ends = flow["jobs"]["range"]["strategy"]["matrix"]["include"]
    assert [end["resolution"] for end in ends] == ["lowest-direct", "highest"]


# --- tools/setup_env.py: installs once, and says when it cannot ---


class Machine:
    """A checkout in a temporary folder, where commands are recorded instead of run."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        spec = importlib.util.spec_from_file_location("setup_env", ROOT / "tools/setup_env.py")
        self.tool = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self.tool)
        self.root, self.monkeypatch = root, monkeypatch
        self.broken: tuple[str, ...] = ()  # a command with one of these words fails
        for name in ("pyproject.toml", "constraints.txt"):
            shutil.copy(ROOT / name, root)
        self.tool.ROOT, self.tool.VENV = root, root / ".venv"
        self.tool.STAMP = self.tool.VENV / ".sema-lite-installed"
        self.tool.run = self.run

    def run(self, *command: str, quiet: bool = False) -> bool:  # noqa: ARG002
        self.commands.append(" ".join(command))
        if not command[0].startswith(sys.executable) and not Path(command[0]).exists():
            raise FileNotFoundError(command[0])
        if "venv" in command:
            self.tool.python().parent.mkdir(parents=True, exist_ok=True)
            self.tool.python().touch()
        return not any(word in command for word in self.broken)

    def set_up(self, extras: str = "test") -> tuple[int, list[str]]:
        """One call of the tool: its exit code, and the installing commands it ran."""
        self.commands: list[str] = []
        self.monkeypatch.setattr(sys, "argv", ["setup_env.py", "--extras", extras])
        code = self.tool.main()
        return code, [c for c in self.commands if "-e ." in c]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    root = tmp_path / "a folder"
    root.mkdir()
    return Machine(root, monkeypatch)


def test_set_up_installs_once(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    code, installs = machine.set_up()
    assert code == 0
    assert len(installs) == 1
    assert "-m uv pip install" in installs[0]
    assert "-c constraints.txt -e .[test]" in installs[0]
    capsys.readouterr()
    assert machine.set_up() == (0, [])
    assert machine.commands == []
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("name", ["pyproject.toml", "constraints.txt"])
def test_set_up_installs_again_after_a_change(machine: Machine, name: str) -> None:
    machine.set_up()
    path = machine.root / name
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert machine.set_up() == (0, []), "other line ends are not a change"
    path.write_text(path.read_text(encoding="utf-8") + "\n# new\n", encoding="utf-8")
    assert len(machine.set_up()[1]) == 1
    assert not any("venv" in command.split() for command in machine.commands), "kept, not made anew"


def test_set_up_adds_extras_and_keeps_those_it_has(machine: Machine) -> None:
    machine.set_up("course")
    assert ".[course,test]" in machine.set_up("test")[1][0]
    assert machine.set_up("course") == (0, [])


def test_a_failed_installation_is_not_taken_for_a_complete_one(machine: Machine) -> None:
    machine.set_up()
    (machine.root / "constraints.txt").write_text("", encoding="utf-8")
    machine.broken = ("-e",)
    assert machine.set_up()[0] == 1
    assert not machine.tool.STAMP.exists()
    machine.broken = ()
    assert len(machine.set_up()[1]) == 1


def test_set_up_falls_back_to_pip(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    machine.broken = ("uv",)
    code, installs = machine.set_up()
    assert code == 0
    assert len(installs) == 1
    assert "-m pip install" in installs[0]
    assert "-c constraints.txt" in installs[0]
    assert "pip" in capsys.readouterr().out


def test_set_up_makes_a_moved_environment_anew(machine: Machine) -> None:
    machine.set_up()
    moved = machine.root.with_name("moved")
    machine.root.rename(moved)
    machine.tool.ROOT, machine.tool.VENV = moved, moved / ".venv"
    machine.tool.STAMP = machine.tool.VENV / ".sema-lite-installed"
    assert len(machine.set_up()[1]) == 1
    assert any("--clear" in command for command in machine.commands)


def test_set_up_says_when_venv_is_missing(machine: Machine) -> None:
    find = machine.tool.importlib.util.find_spec
    machine.monkeypatch.setattr(
        machine.tool.importlib.util,
        "find_spec",
        lambda name: None if name == "ensurepip" else find(name),
    )
    with pytest.raises(SystemExit, match="python3-venv"):
        machine.set_up()


def test_set_up_says_when_python_is_too_old() -> None:
    code = "import sys, runpy; sys.version_info = (3, 9, 18); runpy.run_path(sys.argv[1])"
    command = [sys.executable, "-c", code, str(ROOT / "tools/setup_env.py")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert "needs Python 3.10 or newer" in done.stderr
    assert "3.9.18" in done.stderr


# --- make test and .ci/run ---


def script(path: Path, *lines: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(("#!/bin/sh", *lines, "")), encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


PARALLEL = ("-n", "2", "--dist", "loadfile")


@needs_make
@pytest.mark.parametrize(
    ("first", "second", "notebooks"),
    [(0, 0, True), (5, 0, True), (1, 0, True), (0, 5, True), (0, 1, True), (0, 0, False)],
)
def test_make_test_passes_only_when_both_runs_do(
    tmp_path: Path, first: int, second: int, notebooks: bool
) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    script(tmp_path / "tools/setup_env.py")
    recorder = (
        'echo "$@" >>calls',
        f'case "$*" in *--nbval*) exit {second};; *pytest*) exit {first};; esac',
    )
    script(tmp_path / ".venv/bin/python", *recorder)
    if notebooks:
        (tmp_path / "notebooks/assignments/source").mkdir(parents=True)
        for name in ("00_start_here", "01_next", "assignments/source/ps1"):
            (tmp_path / "notebooks" / f"{name}.ipynb").touch()
    command = ["make", "test", f"PYTHON={sys.executable}"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode == 0) == (first == second == 0 and notebooks), done.stderr
    if done.returncode == 0:
        calls = (tmp_path / "calls").read_text(encoding="utf-8").splitlines()
        assert calls[0].split() == ["-m", "pytest", *PARALLEL]
        assert calls[1].split() == [
            *("-m", "pytest", "--nbval", "--nbval-current-env", *PARALLEL),
            "notebooks/00_start_here.ipynb",
            "notebooks/01_next.ipynb",
        ]


@needs_make
@pytest.mark.parametrize("beside", [True, False])
def test_ci_runs_make_test_and_says_where_the_data_is(tmp_path: Path, beside: bool) -> None:
    checkout = tmp_path / "check out"
    (checkout / ".ci").mkdir(parents=True)
    shutil.copy(ROOT / ".ci/run", checkout / ".ci/run")
    script(tmp_path / "bin/make", 'echo "called: make $*, data: ${SEMA_LITE_DATA:-none}"')
    data = tmp_path / "shared/data"
    if beside:
        data.mkdir(parents=True)
    environment = {k: v for k, v in os.environ.items() if k != "SEMA_LITE_DATA"}
    environment["PATH"] = f"{tmp_path / 'bin'}{os.pathsep}{environment['PATH']}"
    command = ["bash", str(checkout / ".ci/run")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert f"called: make test, data: {data if beside else 'none'}" in done.stdout
    assert ("SKIPPED" in done.stdout) != beside
