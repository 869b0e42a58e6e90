"""What notebooks show."""

from __future__ import annotations

from html import escape
from typing import Any, Iterable, Sequence


def table(title: str, head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    def line(cells: Sequence[Any], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{escape(str(cell))}</{tag}>" for cell in cells) + "</tr>"

    body = "".join(line(row, "td") for row in rows)
    return (
        f"<details open><summary>{escape(title)}</summary>"
        f"<table><thead>{line(head, 'th')}</thead><tbody>{body}</tbody></table></details>"
    )


def paragraph(text: str) -> str:
    return f'<p style="white-space: pre-wrap">{escape(text)}</p>'


def frame(page: str) -> str:
    """A whole page, apart from the page of the notebook."""
    return f'<iframe srcdoc="{escape(page)}" style="width: 100%; height: 32em; border: 0"></iframe>'
