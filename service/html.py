"""Pieces of our pages: everything that comes from elsewhere is escaped here."""

from collections.abc import Container, Iterable, Sequence
from html import escape

from starlette.responses import Response

# Swagger UI writes style attributes; scripts come from here only.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# Of pages without any script.
STILL = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
STYLE = (
    ":root{color-scheme:light dark;--line:#8884;--soft:light-dark(#5d6878,#9aa5b4);--paper:light-dark(#fff,#15191f);"
    "--good:light-dark(#1d7a45,#63c98f);--link:light-dark(#1a5fb4,#78b9ff)}"
    "body{font:16px/1.55 system-ui,sans-serif;max-width:52rem;margin:2rem auto 4rem;padding:0 1rem;"
    "background:var(--paper);color:light-dark(#1b2330,#e6eaf0);overflow-wrap:break-word}"
    "a{color:var(--link)}h1{line-height:1.2;margin:.4rem 0}h2{margin:2.2rem 0 .6rem;font-size:1.25rem}"
    "pre{background:#8881;padding:1rem;overflow:auto;border-radius:.4rem}code{font-size:.92em}"
    ".wide{overflow-x:auto}table{border-collapse:collapse}"
    "td,th{text-align:left;padding:.25rem 1rem .25rem 0;vertical-align:top}th{font-weight:600}"
    "thead th{border-bottom:1px solid var(--line);vertical-align:bottom}.n{text-align:right;font-variant-numeric:tabular-nums}"
    ".soft{color:var(--soft)}.ours td,.ours th{font-weight:600}.good{color:var(--good)}"
    ".facts td{overflow-wrap:anywhere}.facts th{min-width:7rem}"
    ".table{overflow-x:auto}.table img{min-width:44rem}"
    "figure{margin:1rem 0}figure img{max-width:100%;height:auto;border:1px solid var(--line);border-radius:.4rem}"
    ".pair{display:flex;flex-wrap:wrap;gap:1rem}.pair figure{margin:0;flex:1 1 20rem}"
    "summary{cursor:pointer}ul{padding-left:1.2rem}"
)


def page(title: str, body: str, policy: str = POLICY, **headers: str) -> Response:
    """A page of our own."""
    html = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<style>{STYLE}</style></head><body><main><h1>{escape(title)}</h1>{body}</main></body></html>"
    )
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(
        html, headers={"Content-Security-Policy": policy, **named}, media_type="text/html"
    )


def link(to: str, words: object) -> str:
    """A link."""
    return f'<a href="{escape(to)}">{escape(str(words))}</a>'


def code(words: object) -> str:
    """As it is typed."""
    return f"<code>{escape(str(words))}</code>"


def section(title: str, *parts: str) -> str:
    """A heading and what belongs to it; nothing where there is nothing."""
    inside = "".join(parts)
    return f"<section><h2>{escape(title)}</h2>{inside}</section>" if inside else ""


def facts(rows: Iterable[tuple[str, str]]) -> str:
    """Names and values, the values already as HTML; empty ones are left out."""
    found = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{value}</td></tr>'
        for name, value in rows
        if value
    )
    return f'<table class="facts">{found}</table>' if found else ""


def table(
    heads: Sequence[str],
    rows: Iterable[Sequence[str]],
    numeric: Container[int] = (),
    ours: int | None = None,
) -> str:
    """Cells already as HTML; the columns `numeric` are numbers, and row `ours` stands out."""

    def kind(at: int) -> str:
        return ' class="n"' if at in numeric else ""

    top = "".join(f'<th scope="col"{kind(at)}>{escape(head)}</th>' for at, head in enumerate(heads))
    body = "".join(
        f"<tr{' class=ours' if number == ours else ''}>"
        + "".join(f"<td{kind(at)}>{cell}</td>" for at, cell in enumerate(row))
        + "</tr>"
        for number, row in enumerate(rows)
    )
    return (
        f'<div class="wide"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def listed(items: Iterable[str]) -> str:
    """A list of pieces that are HTML already."""
    inside = "".join(f"<li>{item}</li>" for item in items)
    return f"<ul>{inside}</ul>" if inside else ""
