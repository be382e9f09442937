"""The command `python -m sema_lite grade`."""

from __future__ import annotations

import argparse
import math
import sys
from collections import Counter

from . import Limits
from . import grade as grade_all


def grade(args: argparse.Namespace, arguments: list[str]) -> int:  # noqa: ARG001
    """Grade a folder of notebooks; say how many have which status, and where the table is."""
    for name in ("time", "memory", "workers"):
        value = getattr(args, name)
        if value is not None and not 0 < value < math.inf:
            raise ValueError(f"--{name} must be above 0 and finite, got {value}")
    limits = Limits(seconds=args.time, part_seconds=args.time / 4, memory=int(args.memory * 1e9))
    try:
        done = grade_all(
            args.submissions,
            args.assignment,
            args.out,
            limits,
            args.trust,
            args.uncontained,
            args.workers,
            not args.quiet,
        )
    except KeyboardInterrupt:
        print("error: interrupted: the same command goes on", file=sys.stderr)
        return 130
    if done.missing:
        print(f"Note: {done.missing}.", file=sys.stderr)
    counts = Counter(mark.status for _, mark in done.marks)
    parts = [f"{number} {status}" for status, number in sorted(counts.items())]
    print(f"{', '.join(parts)}; {done.known} known from before")
    print(f"Table: {done.out}\nFeedback: {done.feedback}")
    if done.manual:
        print(f"Points by hand, trust and comments: {done.manual}")
    if done.kept:
        print(
            f"Note: the table was not as it had been written; that version is {done.kept}. What is "
            f"to stay belongs in {done.out.with_name(f'{done.out.stem}-manual.csv')}.",
            file=sys.stderr,
        )
    return 0
