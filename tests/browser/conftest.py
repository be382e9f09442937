"""JupyterLab and Chromium for the browser tests, once for all of them.

`make test-browser` runs them. Where there is no Chromium or no Playwright they are skipped, and the
run says so.
"""

import shutil
from pathlib import Path

import pytest
from lab import CHROMIUM_FLAGS, Lab

ROOT = Path(__file__).parents[2]
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def pytest_addoption(parser):
    parser.addoption("--pictures", help="folder for screenshots and for latency.json")


def find_browser():
    """The path of the first browser of `BROWSERS` that is installed; None if there is none."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


def missing():
    """What keeps these tests from running here, or an empty text."""
    if find_browser() is None:
        return f"no browser: none of {', '.join(BROWSERS)} is installed"
    try:
        import playwright.sync_api  # noqa: F401
    except ImportError:
        return "the package playwright is not installed: pip install 'sema-lite[browser]'"
    return ""


def pytest_collection_modifyitems(items):
    reason = missing()
    for item in items if reason else ():
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.skip(reason=reason))


def pytest_terminal_summary(terminalreporter, config):
    reason = missing()
    if reason:
        terminalreporter.section("BROWSER TESTS SKIPPED")
        terminalreporter.line(f"The widgets were NOT looked at in a browser: {reason}.")
    if hasattr(config, "latency"):
        terminalreporter.line(config.latency)


@pytest.fixture(scope="session")
def lab(tmp_path_factory):
    """A running JupyterLab in a copy of the course's notebooks."""
    root = tmp_path_factory.mktemp("lab")
    ignored = shutil.ignore_patterns(".ipynb_checkpoints", "__pycache__")
    shutil.copytree(ROOT / "notebooks", root / "notebooks", ignore=ignored)
    server = Lab(root)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def chromium():
    """A window of Chromium. Its pages share what they have loaded of JupyterLab."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_browser(), args=CHROMIUM_FLAGS)
        yield browser.new_context(viewport={"width": 1200, "height": 900})
        browser.close()


@pytest.fixture(scope="session")
def pictures(request, tmp_path_factory):
    """The folder for screenshots."""
    asked = request.config.getoption("--pictures", None)
    folder = Path(asked) if asked else tmp_path_factory.mktemp("pictures")
    folder.mkdir(parents=True, exist_ok=True)
    return folder
