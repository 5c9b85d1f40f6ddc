"""A report as one page beside its figures: Markdown and HTML of the same tables and captions."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

from .report_tables import Table

STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #16202a; background: #fff;
       max-width: 1180px; margin: 32px auto; padding: 0 24px; }
table { border-collapse: collapse; margin: 12px 0; font-size: 13px; }
th, td { padding: 4px 10px; text-align: right; border-bottom: 1px solid #d3dae1; }
th { font-weight: 600; vertical-align: bottom; }
.word { text-align: left; }
.wide { overflow-x: auto; }
figure { margin: 34px 0; }
figcaption { max-width: 820px; margin-top: 8px; }
.column { width: 520px; max-width: 100%; }
.page { width: 1100px; max-width: 100%; }
h2 { font-size: 18px; margin-top: 30px; }
"""


@dataclass(frozen=True, slots=True)
class Shown:
    """A figure on the page: its files' name, a title, a caption, and whether it has page width."""

    name: str
    title: str
    caption: str
    wide: bool


def as_markdown(title: str, tables: Sequence[Table], figures: Sequence[Shown]) -> str:
    """A report in Markdown."""
    lines = [f"# {title}"]
    for table in tables:
        align = [" :--- |" if n < table.words else " ---: |" for n in range(len(table.headings))]
        lines += ["", f"## {table.title}", ""]
        lines += ["| " + " | ".join(table.headings) + " |", "|" + "".join(align)]
        lines += ["| " + " | ".join(_cell(c) for c in row) + " |" for row in table.rows]
        lines += ["", table.note] if table.note else []
    for shown in figures:
        lines += ["", f"## {shown.title}", "", f"![{shown.title}]({shown.name}.png)"]
        lines += ["", f"{shown.caption} ([{shown.name}.pdf]({shown.name}.pdf))"]
    return "\n".join(lines) + "\n"


def as_html(title: str, tables: Sequence[Table], figures: Sequence[Shown]) -> str:
    """A report as one HTML page."""
    name = html.escape(title)
    body = "".join([*(_table(t) for t in tables), *(_figure(f) for f in figures)])
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{name}</title>
<style>{STYLE}</style>
<h1>{name}</h1>
{body}</html>
"""


def _table(table: Table) -> str:
    def row(tag: str, cells: Sequence[str]) -> str:
        left = (' class="word"' if n < table.words else "" for n in range(len(cells)))
        return "".join(
            f"<{tag}{word}>{html.escape(c)}</{tag}>" for word, c in zip(left, cells, strict=True)
        )

    body = "\n".join(f"<tr>{row('td', cells)}</tr>" for cells in table.rows)
    note = f"<p>{html.escape(table.note)}</p>\n" if table.note else ""
    return (
        f'<h2>{html.escape(table.title)}</h2>\n<div class="wide"><table>'
        f"<thead><tr>{row('th', table.headings)}</tr></thead>\n<tbody>\n{body}\n</tbody></table>"
        f"</div>\n{note}"
    )


def _figure(shown: Shown) -> str:
    name, size = html.escape(shown.name), "page" if shown.wide else "column"
    title = html.escape(shown.title)
    return (
        f'<figure id="{name}"><img class="{size}" src="{name}.png" alt="{title}">'
        f"<figcaption><b>{title}.</b> {html.escape(shown.caption)} "
        f'<a href="{name}.pdf">PDF</a></figcaption></figure>\n'
    )


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
