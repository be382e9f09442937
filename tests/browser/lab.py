"""A JupyterLab of its own for the browser tests, and a page of Chromium that drives it.

`Lab` starts the server in a folder with settings, config and runtime files of its own, so that
nothing of the user's takes part; the kernel is the Python that runs the tests. `Notebook` is one
open notebook in one page: run it, read it back, watch its pictures.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

SLOW = 120_000  # milliseconds that a loaded machine may take to open a page or start a kernel
RUN = 600_000  # and to run two notebooks

WIDGET = "application/vnd.jupyter.widget-view+json"

# Settings that differ from JupyterLab's own: no question about news (it would cover the page), all
# cells in the page at once (otherwise those out of sight are not there to be looked at).
SETTINGS = {
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "docmanager-extension/plugin": {"autosave": False},
    "notebook-extension/tracker": {"windowingMode": "none"},
}
# The last four keep Chromium from calling out, which fails slowly where there is no network.
CHROMIUM_FLAGS = [
    "--disable-gpu",
    "--no-first-run",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


class Lab:
    """JupyterLab on a free port of 127.0.0.1, with a token, its files below `root`."""

    def __init__(self, root: Path) -> None:
        self.notebooks = root / "notebooks"
        self.log = root / "jupyterlab.log"
        self._token = secrets.token_hex(16)
        self.url = f"http://127.0.0.1:{_free_port()}"
        settings = root / "settings"
        for name, values in SETTINGS.items():
            file = settings / "@jupyterlab" / f"{name}.jupyterlab-settings"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(values))
        own = {
            "JUPYTER_CONFIG_DIR": root / "config",
            "JUPYTER_DATA_DIR": root / "data",
            "JUPYTER_RUNTIME_DIR": root / "runtime",
            "JUPYTERLAB_SETTINGS_DIR": settings,
            "JUPYTERLAB_WORKSPACES_DIR": root / "workspaces",
            "IPYTHONDIR": root / "ipython",
        }
        command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--expose-app-in-browser"]
        command += [f"--ServerApp.port={self.url.rsplit(':', 1)[1]}", "--ServerApp.port_retries=0"]
        command += ["--ServerApp.ip=127.0.0.1", f"--IdentityProvider.token={self._token}"]
        command += [f"--ServerApp.root_dir={self.notebooks}"]
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            command.append("--allow-root")
        with self.log.open("wb") as log:
            self._server = subprocess.Popen(
                command,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **{name: str(path) for name, path in own.items()}},
            )
        self._wait_until_it_answers()

    def _wait_until_it_answers(self) -> None:
        end = time.monotonic() + SLOW / 1000
        while time.monotonic() < end and self._server.poll() is None:
            try:
                with self._ask("GET", "/api/status"):
                    return
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                time.sleep(0.1)  # it does not listen yet
        self.stop()
        raise RuntimeError("JupyterLab did not start:\n" + self.log.read_text()[-3000:])

    def _ask(self, method: str, path: str) -> Any:
        request = urllib.request.Request(self.url + path, method=method)
        request.add_header("Authorization", f"token {self._token}")
        return urllib.request.urlopen(request, timeout=30)

    def address(self, name: str) -> str:
        """Of a notebook; its workspace is its own, so that JupyterLab opens no other one."""
        return f"{self.url}/lab/workspaces/{Path(name).stem}/tree/{name}?token={self._token}"

    def end_kernel(self, name: str) -> None:
        """Of a notebook."""
        with self._ask("GET", "/api/sessions") as answer:
            sessions = json.load(answer)
        for session in sessions:
            if session["path"] == name:
                self._ask("DELETE", f"/api/sessions/{session['id']}").close()

    def stop(self) -> None:
        """End the server, and with it its kernels; by its own process number only."""
        if self._server.poll() is None:
            self._server.send_signal(signal.SIGTERM)
            try:
                self._server.wait(timeout=30)
            except subprocess.TimeoutExpired:
                self._server.kill()
                self._server.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Notebook:
    """One notebook, open in a page of its own."""

    def __init__(self, lab: Lab, page: Any, name: str) -> None:
        self.page, self.name = page, name
        self.console: list[str] = []  # errors in the browser's console, from the first cell on
        page.set_default_timeout(SLOW)
        page.add_init_script(path=Path(__file__).parent / "lens.js")
        page.goto(lab.address(name))
        page.wait_for_function("window.jupyterapp?.shell.currentWidget?.sessionContext?.isReady")
        page.get_by_text("| Idle", exact=False).first.wait_for()
        page.evaluate("lens.listen()")
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.console.append(f"uncaught: {error}"))

    def _console(self, message: Any) -> None:
        if message.type == "error":
            self.console.append(f"{message.text} ({message.location.get('url', '')})")

    def command(self, name: str, arguments: dict[str, Any] | None = None) -> None:
        """Do what an entry of JupyterLab's menus does, and wait until it is done."""
        self.begin(name, arguments)
        self.wait_until_done()

    def begin(self, name: str, arguments: dict[str, Any] | None = None) -> None:
        """Begin to do what an entry of JupyterLab's menus does."""
        execute = "([name, args]) => { lens.work = jupyterapp.commands.execute(name, args); }"
        self.page.evaluate(execute, [name, arguments or {}])

    def wait_until_done(self) -> None:
        """Until that is done."""
        done = self.page.evaluate("limit => lens.within(limit, lens.work)", RUN)
        assert done, f"{self.name} takes longer than {RUN / 1000:.0f} s"
        self.wait_until_idle()

    def wait_until_idle(self) -> None:
        """Until the kernel has nothing to do and the pictures it sent are there."""
        self.page.wait_for_function(
            """() => {
              const notebook = window.jupyterapp.shell.currentWidget;
              return notebook.sessionContext.session?.kernel?.status === 'idle'
                && [...notebook.node.querySelectorAll('img')].every(image => image.complete);
            }"""
        )

    def ask(self, expression: str) -> str:
        """What the kernel makes of an expression, as text. No cell is changed by it."""
        answer: str = self.page.wait_for_function(
            """async code => {
              const { kernel } = window.jupyterapp.shell.currentWidget.sessionContext.session;
              const request = { code: '', silent: true, user_expressions: { it: code } };
              const { it } = (await kernel.requestExecute(request).done).content.user_expressions;
              if (it.status === 'error') throw new Error(`${it.ename}: ${it.evalue}`);
              return it.data['text/plain'];
            }""",
            arg=expression,
        ).json_value()
        return answer

    def cells(self) -> list[dict[str, Any]]:
        """The cells as they are now, with their outputs, as a notebook file would store them."""
        model = "window.jupyterapp.shell.currentWidget.content.model.toJSON()"
        cells: list[dict[str, Any]] = self.page.evaluate(model)["cells"]
        return cells

    def errors(self) -> list[str]:
        """What the kernel reported as an error, and errors of the page; from the first cell on."""
        return [*self.page.evaluate("lens.errors"), *self.console]

    def output(self, cell: int) -> Any:
        """The part of the page under a cell, by the cell's place, from 0."""
        return self.page.locator(".jp-Notebook .jp-Cell").nth(cell).locator(".jp-OutputArea").first

    def explorers(self) -> dict[str, Any]:
        """{class name: its part of the page} of all explorers that cells show.

        An explorer's text is the name of its class. Progress bars are widgets as well, but their
        text is a bar.
        """
        found = {}
        for place, cell in enumerate(self.cells()):
            for output in cell.get("outputs", ()):
                data = output.get("data", {})
                name = "".join(data.get("text/plain", ""))
                if WIDGET in data and name.isidentifier():
                    found[name] = self.output(place).locator(".widget-vbox").first
        return found

    def theme(self, name: str) -> None:
        self.command("apputils:change-theme", {"theme": name})
        light = "true" if "Light" in name else "false"
        self.page.locator(f"body[data-jp-theme-light='{light}']").wait_for(state="attached")
        # It covers the page for a moment, and JupyterLab fails if the theme changes meanwhile.
        self.page.locator("#jupyterlab-splash").wait_for(state="detached")
        self.settle()

    def width(self, pixels: int) -> None:
        """Make the window as wide as it takes for the notebook to be `pixels` wide."""
        size, panel = self.page.viewport_size, self.page.locator(".jp-NotebookPanel")
        for _ in range(10):  # the panels beside the notebook take their share of a change
            now = round(panel.bounding_box()["width"])
            if now == pixels:
                return
            size["width"] += pixels - now
            self.page.set_viewport_size(size)
            self.settle()
        raise AssertionError(f"the notebook is {now} pixels wide, not {pixels}")

    def settle(self) -> None:
        """Until the page has been laid out and drawn twice."""
        self.page.evaluate(
            "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
        )
