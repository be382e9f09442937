"""The command line, `python -m sema_lite`: train, compare, resume, results, data and grade."""

from __future__ import annotations

import argparse
import importlib
import io
import os
import sys
from typing import Any, NoReturn

EXAMPLES = """\
python -m sema_lite train                                    # Switch EMA, 3 epochs, one seed
python -m sema_lite compare --seeds 5 --out runs/first       # all methods, paired seeds
python -m sema_lite resume runs/first                        # it was stopped? It goes on
python -m sema_lite results runs/first                       # its table again
python -m sema_lite compare --data circles --method ema,sema --lr 0.2 --seeds 20 --epochs 50"""

TRAIN = """\
Train a network by one method and score it on the test examples after the last epoch: accuracy and
negative log-likelihood (NLL) of the live and of the averaged weights, and the expected calibration
error (ECE) of the averaged ones, or of the live ones if there are no others; mean ± standard error
over the seeds."""

COMPARE = """\
Train a network by several methods and print one table: scores as those of `train`, the paired
difference to the first method, and the seconds of a training. Under one seed all methods start
from the same weights and see the same batches in the same order, so that a difference comes from
the averaging."""

RESUME = """\
Go on with a `train` or `compare` that was stopped at any moment, even by a power cut. It had to
have --out FOLDER. The result is the same, bit for bit, as if it had not been stopped."""

RESULTS = """\
Show the table of a finished `train` or `compare`, or of a long run that comes with the course.
Without a name: say which of these there are."""

WHERE = """\
The data is looked for in --root; without it in the folder that SEMA_LITE_DATA names, in data/ of
the current directory and of the checkout; then it is downloaded. See data/README.md."""

GRADE = """\
Grade a folder of notebooks, one file or folder per student. Students' code runs in a sandbox
(Linux). Writes a table, and beside it a page of feedback for each student; the same command goes
on where it was stopped. See notebooks/assignments/README.md."""

DATA = ("cifar10", "cifar100", "shapes10", "folder", "circles", "moons", "digits")
BROKEN_PIPE = 141  # as a shell says it: 128 + SIGPIPE


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, and which takes no shortened options: `--seed 5` might
    be meant for one seed, and `--seeds 5` are five.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(allow_abbrev=False, **settings)

    def error(self, message: str) -> NoReturn:
        sys.exit(error(f"{message} (see --help)"))


def error(message: object, code: int = 2) -> int:
    """Print one line; returns the exit code."""
    print(f"error: {message}", file=sys.stderr)
    return code


def main(arguments: list[str] | None = None) -> int:
    """Run a command line; returns the exit code."""
    try:
        try:
            return _main(sys.argv[1:] if arguments is None else arguments)
        finally:
            sys.stdout.flush()  # here, and not when Python ends: there it would be a traceback
    except BrokenPipeError:  # the reader has seen enough: `... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE


def _main(arguments: list[str]) -> int:
    for stream in (sys.stdout, sys.stderr):  # a terminal without "±" gets "?", not a traceback
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    args = parser().parse_args(arguments)
    if args.command is None:
        parser().print_help()
        return 0
    home = ".grading.command" if args.command == "grade" else ".commands"  # which needs torch
    try:
        module = importlib.import_module(home, __package__ or "sema_lite")
        code: int = getattr(module, args.command)(args, arguments)
    except BrokenPipeError:
        raise
    except (ValueError, TypeError, OSError, ImportError) as problem:
        return error(problem)
    except KeyboardInterrupt:
        return error("interrupted", 130)
    return code


# -- the options -----------------------------------------------------------------------------------


def parser() -> Parser:
    """Of the whole command line."""
    whole = Parser(
        prog="python -m sema_lite",
        description="Averaging the weights of networks: EMA, SWA, Switch EMA, Lookahead.",
        epilog=f"Examples:\n\n{EXAMPLES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = whole.add_subparsers(metavar="command", dest="command")

    def add(name: str, about: str, description: str, epilog: str = "") -> Parser:
        command: Parser = commands.add_parser(
            name,
            help=about,
            description=description,
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        return command

    train = add("train", "train by one method", TRAIN, WHERE)
    _training_options(train, method="sema", seeds=1)
    compare = add("compare", "train by several methods and compare them", COMPARE, WHERE)
    _training_options(compare, method="sgd,ema,swa,sema,lookahead", seeds=2)

    resume = add("resume", "go on with what was stopped", RESUME)
    resume.add_argument("folder", metavar="FOLDER", help="the --out of what was stopped")
    resume.add_argument("--quiet", action="store_true", help="no progress bars")

    results = add("results", "show the table of a result", RESULTS)
    results.add_argument(
        "result", nargs="?", metavar="FOLDER|FILE.json|NAME", help="an --out, or a stored long run"
    )
    results.add_argument(
        "--reach",
        type=float,
        metavar="PERCENT",
        help="instead: the epochs (and seconds) it took to reach this accuracy",
    )

    data = add("data", "say which data is found", "Say which data is found, after checking it.")
    _data_options(data)
    data.add_argument("--make-mini", metavar="FILE.npz", help="write CIFAR-10's mini set there")

    grade = add("grade", "grade a folder of notebooks", GRADE)
    option = grade.add_argument
    option("submissions", metavar="SUBMISSIONS", help="the folder")
    option("--assignment", required=True, metavar="A1|FILE.ipynb", help="a source notebook")
    option(
        "--out",
        required=True,
        metavar="FILE.csv",
        help="the table; what you add yourself belongs in FILE-manual.csv beside it",
    )
    option("--time", type=float, default=120.0, metavar="S", help="for each one (default: 120)")
    option("--memory", type=float, default=2.0, metavar="GB", help="of a process (default: 2)")
    option("--workers", type=int, metavar="N", help="at once (default: one per processor)")
    option(
        "--trust",
        action="append",
        default=[],
        metavar="STUDENT",
        help="you have looked at this one; it is noted in FILE-manual.csv",
    )
    option("--uncontained", action="store_true", help="run code that cannot be contained here")
    option("--quiet", action="store_true", help="no progress bar")
    return whole


def _training_options(command: Parser, method: str, seeds: int) -> None:
    what = command.add_argument_group("what is trained on what")
    _data_options(what)
    what.add_argument(
        "--model",
        metavar="NAME",
        help="small_resnet (default for images), small_vit, resnet18, or mlp (the one for points)",
    )
    averaging = command.add_argument_group("averaging")
    several = "," in method
    averaging.add_argument(
        "--method",
        default=method,
        metavar="A,B,..." if several else "NAME",
        help=(
            "any of sgd,ema,swa,sema,lookahead (default: all of them); sgd is no averaging"
            if several
            else f"sgd (none), ema, swa, sema or lookahead (default: {method})"
        ),
    )
    averaging.add_argument(
        "--decay",
        type=float,
        metavar="D",
        help="of EMA and SEMA (default: 1 - 4 / steps per epoch)",
    )
    averaging.add_argument(
        "--switch-every",
        type=_period,
        default="epoch",
        metavar="N|epoch|2epochs",
        help="of SEMA: copy the average into the model each N steps, each epoch (default), ...",
    )
    averaging.add_argument(
        "--batch-norm",
        default="average",
        choices=["average", "live", "estimate"],
        help="where averaged weights have batch norm's statistics from (default: average)",
    )
    how = command.add_argument_group("how it is trained")
    how.add_argument(
        "--optimizer",
        default="sgd",
        metavar="NAME",
        help="of torch.optim: sgd (default), adamw, ...",
    )
    how.add_argument("--lr", type=float, help="learning rate (default: 0.05 for sgd, else 0.001)")
    how.add_argument(
        "--schedule",
        default="constant",
        choices=["constant", "cosine", "cyclic"],
        help="constant (default); cosine: falls to zero; cyclic: falls and restarts each epoch",
    )
    how.add_argument(
        "--weight-decay", type=float, default=5e-4, metavar="W", help="default: 0.0005"
    )
    how.add_argument("--epochs", type=int, default=3, metavar="N", help="default: 3")
    how.add_argument("--batch-size", type=int, default=64, metavar="N", help="default: 64")
    how.add_argument(
        "--seeds", type=int, default=seeds, metavar="N", help=f"seeds 0 to N-1 (default: {seeds})"
    )
    run = command.add_argument_group("where")
    run.add_argument(
        "--device", default="auto", help="cpu, cuda, ... (default: a GPU if there is one)"
    )
    run.add_argument(
        "--compile",
        action="store_true",
        help="compile the network first (torch.compile): for long runs on images on a GPU",
    )
    run.add_argument(
        "--threads",
        type=int,
        default=1,
        metavar="N",
        help="of the CPU (default: 1, which gives the same numbers whatever else runs and how "
        "many cores there are; the small networks gain little from more)",
    )
    run.add_argument(
        "--out",
        metavar="FOLDER",
        help="keep everything there: settings, a line of metrics per epoch, checkpoints, and "
        "results.json in the end. The same command again, or `resume`, goes on where it stopped",
    )
    run.add_argument("--quiet", action="store_true", help="no progress bars")


def _data_options(command: Any) -> None:
    command.add_argument(
        "--data",
        default="cifar10",
        choices=DATA,
        metavar="NAME",
        help=f"{', '.join(DATA)} (default: cifar10). shapes10 and the last three need no download; "
        "folder is --root with train/CLASS/ and test/CLASS/",
    )
    command.add_argument(
        "--subset",
        type=_subset,
        default="mini",
        metavar="mini|full|N",
        help="of images: 5,000, all 50,000, or the first N (default: mini)",
    )
    command.add_argument("--root", metavar="DIR", help="the only folder to look for data in")


def _subset(text: str) -> str | int:
    return text if text in ("mini", "full") else int(text)


def _period(text: str) -> str | int:
    return text if "epoch" in text else int(text)


_subset.__name__, _period.__name__ = "mini|full|N", "N|epoch|2epochs"  # argparse: invalid X value


if __name__ == "__main__":
    sys.exit(main())
