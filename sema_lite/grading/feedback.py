"""The page that a student gets back: tasks, points, messages. Nothing of a test's text."""

from __future__ import annotations

from html import escape

from .marking import CHECK, FOUND, NOT_GRADED, PENDING, Mark
from .source import Assignment
from .table import open_tasks

PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 1rem/1.5 sans-serif; max-width: 50rem; margin: 2rem auto; padding: 0 1rem;
  color: #1a1a1a; background: #fff; }}
table {{ border-collapse: collapse; width: 100%; }}
th, td {{ text-align: left; vertical-align: top; padding: .4rem .6rem;
  border-bottom: 1px solid #8a8a8a; }}
td.points {{ white-space: nowrap; }}
td.message {{ white-space: pre-wrap; overflow-wrap: anywhere; }}
</style>
</head>
<body>
<h1>{title}</h1>
<p>{summary}</p>
{body}</body>
</html>
"""


def page(student: str, mark: Mark, assignment: Assignment) -> bytes:
    """The page as HTML; the same bytes for the same mark."""
    title = f"{assignment.name.replace('_', ' ')}: {student}"
    return PAGE.format(
        title=escape(title),
        summary="</p>\n<p>".join(map(escape, summary(mark, assignment))),
        body=_table(mark, assignment),
    ).encode(errors="replace")  # of a student's text anything may be part


def summary(mark: Mark, assignment: Assignment) -> list[str]:
    """One or more paragraphs."""
    comment = [f"From your teacher: {mark.comment}"] if mark.comment else []
    whole = sum(task.points for task in assignment.tasks)
    if mark.status == CHECK:
        text = "Your teacher looks at this submission before it gets points."
        if mark.odd:  # not with whom a text is shared
            text += f" The reason: {'; '.join(mark.odd[:4])}."
        return [text, *comment]
    if mark.status == NOT_GRADED:
        end = "" if mark.reason.endswith(("?", ".", "!")) else "."
        return [f"This submission could not be graded: {mark.reason}{end}", *comment]
    text = f"{mark.score:g} of {whole:g} points."
    if mark.status == PENDING:
        open_ = sum(task.points for task in open_tasks(mark, assignment))
        text += f" Another {open_:g} points are given by a person, and are not in it yet."
    if mark.how == "by name":
        text += (
            " Cells of the notebook were moved, copied or lost, so your functions were looked for "
            "by their names."
        )
    elif FOUND in mark.reason:
        text += (
            " Some answers stand in another cell, or use one that stands further below: they were "
            "looked for by their names."
        )
    return [text, *comment]


def _table(mark: Mark, assignment: Assignment) -> str:
    if mark.status == CHECK or not mark.points:
        return ""
    rows = []
    for task in assignment.tasks:
        got = mark.points.get(task.name)
        shown = "open," if got is None else f"{got:g}"
        rows.append(
            f"<tr><td>{escape(task.title or task.name)}</td>"
            f'<td class="points">{shown} of {task.points:g}</td>'
            f'<td class="message">{escape(mark.messages.get(task.name, ""))}</td></tr>\n'
        )
    head = "<tr><th>Task</th><th>Points</th><th>What the tests say</th></tr>\n"
    return f"<table>\n{head}{''.join(rows)}</table>\n"
