"""How the tests of the exercises' checks ask for a verdict."""

from typing import Any

import pytest


def judge(check: Any, answer: Any, capsys: pytest.CaptureFixture[str]) -> tuple[bool, str]:
    """Whether the check passes the answer, and what it prints."""
    passed = check(answer)
    return passed, capsys.readouterr().out
