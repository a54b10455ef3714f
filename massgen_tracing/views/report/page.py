"""A report as one page of HTML that asks nobody for anything: no font, no picture, no script from elsewhere.

It is read without any script. Where it has a view of the run besides, that stands above it, by a script of its own which the page's policy names.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from typing import Final

from massgen_tracing.views import text
from massgen_tracing.views.report import charts
from massgen_tracing.views.report.blocks import SPAN_ID, Block, Checks, Items, Paragraph, Picture, Repeat, Report, Table

_FEW_COLUMNS: Final = 3
_MANY: Final = ' class="many"'
"""Of tables with more columns: on a narrow screen one scrolls them, rather than read words one below the other."""

_COLOURS: Final = """
:root{color-scheme:light dark;--ink:#1c2430;--soft:#5b6675;--line:#d9dfe7;--paper:#fff;--wash:#f5f7fa;--accent:#2458c5;
--answer:#2e8b57;--vote:#3b6fd4;--lost:#d9892b;--failed:#c8372d;--other:#8a94a3;--final:#7a4fc0}
@media (prefers-color-scheme:dark){:root{--ink:#e4e9f0;--soft:#9aa6b5;--line:#333c48;--paper:#14181e;--wash:#1c222a;--accent:#7fa6ff;
--answer:#4cb97e;--vote:#6e9bf5;--lost:#e6a556;--failed:#ef6a60;--other:#7d8897;--final:#a884e6}}
"""
_RULES: Final = """
*{box-sizing:border-box}body{margin:0;background:var(--paper);color:var(--ink);font:15px/1.55 system-ui,sans-serif}
main{max-width:1060px;margin:0 auto;padding:24px 20px 80px}h1{font-size:26px;margin:0 0 12px}h2{font-size:20px;margin:44px 0 10px;padding-top:10px;
border-top:1px solid var(--line)}
h3{font-size:16px;margin:26px 0 6px}p{margin:8px 0}h1,h2,h3,p,li,nav,figcaption{overflow-wrap:anywhere}
dl{display:grid;grid-template-columns:max-content 1fr;gap:2px 16px;
margin:0 0 18px;color:var(--soft)}dd{margin:0;overflow-wrap:anywhere;color:var(--ink)}nav{columns:3 220px;font-size:14px;padding:12px 16px;
background:var(--wash);border-radius:8px}
nav a{display:block;color:var(--accent);text-decoration:none;padding:1px 0}nav a:hover{text-decoration:underline}
.scroll{overflow-x:auto}table{border-collapse:collapse;font-size:14px;margin:8px 0;min-width:50%}.many{min-width:640px}
th{text-align:left;font-weight:600;color:var(--soft)}
th,td{padding:4px 12px 4px 0;border-bottom:1px solid var(--line);vertical-align:top;overflow-wrap:break-word;max-width:60ch}.n{text-align:right;
font-variant-numeric:tabular-nums;white-space:nowrap}code,pre{font:13px/1.5 ui-monospace,monospace}pre{background:var(--wash);padding:8px 12px;
border-radius:6px;overflow-x:auto;margin:8px 0}.repeat{color:var(--soft);font-size:13px;margin-top:10px}ul.checks{list-style:none;padding-left:2px}
.yes::before{content:"✓ ";color:var(--answer)}.no::before{content:"✗ ";color:var(--failed)}.unknown::before{content:"? ";color:var(--lost)}
figure{margin:14px 0}figcaption{font-size:13px;color:var(--soft);margin-bottom:4px}svg{width:100%;height:auto;font:12px system-ui,sans-serif}
.grid{stroke:var(--line);stroke-width:1}.tick{fill:var(--soft);font-size:11px}.lane{fill:var(--ink)}.bar,.mark{fill:var(--other)}
.mark{stroke:var(--paper);stroke-width:1.5}.answer{fill:var(--answer)}.vote{fill:var(--vote)}.lost{fill:var(--lost)}.failed{fill:var(--failed)}
.final{fill:var(--final)}@media print{nav{display:none}h2{break-after:avoid}table,figure{break-inside:avoid}}
"""


STYLE: Final = _COLOURS + _RULES
"""Of a page without a view of the run."""


@dataclass(frozen=True, slots=True)
class View:
    """A view of the run: its script, its styles, which have the colours too, the data that it shows, as JSON, and the licences of its libraries."""

    script: str
    style: str
    data: str
    licences: str


def render(report: Report, view: View | None = None) -> str:
    """The page; with *view* above the report."""
    style = STYLE if view is None else f"{view.style}\n.report{{{_RULES}}}"
    # In its texts, what would end the element, or begin a comment in it, is written in another way.
    script = "" if view is None else view.script.replace("</script", "\\x3c/script").replace("<!--", "\\x3c!--")
    scripts = "" if view is None else f"script-src '{_digest(script)}'; img-src data:; "
    policy = f"default-src 'none'; {scripts}style-src '{_digest(style)}'; base-uri 'none'; form-action 'none'"
    named = [(f"s{number}", section) for number, section in enumerate(report.sections, 1)]
    parts = [
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n',
        f'<meta http-equiv="Content-Security-Policy" content="{escape(policy)}">\n',
        '<meta name="referrer" content="no-referrer">\n<meta name="viewport" content="width=device-width, initial-scale=1">\n',
        f"<title>{escape(text.clean(report.title))}</title>\n<style>{style}</style>\n</head>\n<body>\n",
        *(() if view is None else _viewed(view, script)),
        f"<main>\n<h1>{_inline(report.title)}</h1>\n<dl>",
        *(f"<dt>{escape(name)}</dt><dd>{_inline(value)}</dd>" for name, value in report.head),
        "</dl>\n<nav>",
        *(f'<a href="#{name}">{_inline(section.title)}</a>' for name, section in named if section.level == 2),
        "</nav>\n",
    ]
    for name, section in named:
        parts.append(f'<h{section.level} id="{name}">{_inline(section.title)}</h{section.level}>\n')
        parts += [piece for block in section.blocks for piece in _written(block)]
    return "".join([*parts, "</main>\n", "" if view is None else "</div>\n", "</body>\n</html>\n"])


def _digest(content: str) -> str:
    """What a policy calls a script or a style by."""
    return f"sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}"


def _viewed(view: View, script: str) -> Iterator[str]:
    """The view, and the beginning of what is below it. The data are no script, and have no sign that could end their element."""
    yield '<div id="app"></div>\n'
    data = view.data.replace("<", "\\u003c")
    yield f'<script type="application/json" id="run-data">{data}</script>\n'
    yield f'<script>{script}</script>\n<template><pre>{escape(view.licences)}</pre></template>\n<div class="report" id="report">\n'


def _inline(said: str) -> str:
    return SPAN_ID.sub(lambda match: f"<code>{match[0]}</code>", escape(text.clean(said)))


def _written(block: Block) -> Iterator[str]:
    match block:
        case Paragraph(said):
            yield f"<p>{_inline(said)}</p>\n"
        case Items(items, ordered):
            kind = "ol" if ordered else "ul"
            yield f"<{kind}>{''.join(f'<li>{_inline(item)}</li>' for item in items)}</{kind}>\n"
        case Checks(items):
            kinds = {True: "yes", False: "no", None: "unknown"}
            told = ((kinds[holds], said if holds is not None else f"{said} (not recorded)") for holds, said in items)
            yield f'<ul class="checks">{"".join(f"""<li class="{kind}">{_inline(said)}</li>""" for kind, said in told)}</ul>\n'
        case Table(columns, rows, numeric):
            marks = [' class="n"' if name in numeric else "" for name in columns]
            yield f'<div class="scroll"><table{_MANY if len(columns) > _FEW_COLUMNS else ""}><thead><tr>'
            yield from (f"<th{mark}>{_inline(name)}</th>" for name, mark in zip(columns, marks, strict=True))
            yield "</tr></thead><tbody>"
            for row in rows:
                yield f"<tr>{''.join(f'<td{mark}>{_inline(cell)}</td>' for cell, mark in zip(row, marks, strict=True))}</tr>"
            yield "</tbody></table></div>\n"
        case Repeat(command):
            yield f'<p class="repeat">Repeat it:</p><pre>{escape(text.clean(command))}</pre>\n'
        case Picture(title, bars):
            if bars:
                yield f"<figure><figcaption>{escape(title)}</figcaption>{charts.svg(block)}</figure>\n"
