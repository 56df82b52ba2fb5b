"""How answers look: tables for people, JSON and CSV for programs."""

import csv
import io
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from service.client import Progress, Records

FORM_OF_SUFFIX = {".json": "json", ".jsonl": "jsonl", ".csv": "csv"}
MARK = "!"  # beside numbers that are not to be relied on


def chosen_form(*, as_json: bool, as_csv: bool, as_table: bool, out: Path | None) -> str:
    """The one form asked for, by flag or by the file's ending."""
    asked = [name for name, on in (("json", as_json), ("csv", as_csv), ("table", as_table)) if on]
    if len(asked) > 1:
        raise typer.BadParameter(f"choose one of {', '.join('--' + name for name in asked)}")
    if out is not None and (fault := unwritable(out)):
        raise typer.BadParameter(f"cannot write {out}: {fault}", param_hint="--out")
    if asked:
        return asked[0]
    if out is None:
        return "table"
    if out.suffix.lower() not in FORM_OF_SUFFIX:
        raise typer.BadParameter(
            f"{out}: written are {', '.join(FORM_OF_SUFFIX)}; or say the form, as --csv",
            param_hint="--out",
        )
    return FORM_OF_SUFFIX[out.suffix.lower()]


def unwritable(out: Path) -> str | None:
    """Why nothing can be written there; asked before any work is done."""
    if out.is_dir():
        return "it is a folder"
    if not out.parent.is_dir():
        return f"there is no folder {out.parent}"
    return None if os.access(out if out.exists() else out.parent, os.W_OK) else "not allowed"


def write(records: "Records", form: str, out: Path | None) -> None:
    """To the file, or to stdout."""
    text = FORMS[form](records)
    if out is None:
        sys.stdout.write(text)
        sys.stdout.flush()
    else:
        out.write_text(text, "utf-8")


def as_json(records: "Records") -> str:
    """One list of records."""
    return json.dumps([record.to_dict() for record in records], indent=2, ensure_ascii=False) + "\n"


def as_jsonl(records: "Records") -> str:
    """One record a line."""
    lines = [json.dumps(record.to_dict(), ensure_ascii=False) for record in records]
    return "".join(line + "\n" for line in lines)


def as_csv(records: "Records") -> str:
    """One row a number; what is not known is empty."""
    from service.client_records import COLUMNS

    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in records.rows():
        known = row["in_domain"]
        writer.writerow(row | {"in_domain": None if known is None else str(known).lower()})
    return text.getvalue()


def as_table(records: "Records") -> str:
    """Columns for the eye, and beneath them what is not to be relied on."""
    found = records.rows()
    marked = any(row["in_domain"] is False for row in found)
    rows = [
        (
            row["name"],
            row["formula"] or "",
            spread(row) + mark(row, marked),
            unit_of(row),
            row["error"] or row["property"] or "",
            row["model"] or "",
        )
        for row in found
    ]
    head = ("name", "formula", f"value{level_of(records)}", "unit", "property", "model")
    return table(head, rows, right=(2,)) + "".join(doubts(records))


def spread(row: dict[str, Any]) -> str:
    """The value and half the width of its interval; both ends where the property's range cuts one."""
    if row["error"] is not None:
        return "failed"
    value, low, high = row["value"], row["low"], row["high"]
    if low is None or value is None:
        return number(value)
    above, below = high - value, value - low
    if abs(above - below) <= 1e-6 * (above + below):
        return f"{number(value)} ± {number(above)}"
    return f"{number(value)} ({number(low)} to {number(high)})"


def unit_of(row: dict[str, Any]) -> str:
    """Of a probability, with the class that it is of."""
    if row["unit"] in (None, "1") or row["error"]:
        return ""
    return f"{row['unit']} of {row['of_class']}" if row["of_class"] else str(row["unit"])


def mark(row: dict[str, Any], marked: bool) -> str:
    """Keeps the numbers below each other."""
    if not marked:
        return ""
    return f" {MARK}" if row["in_domain"] is False else "  "


def level_of(records: "Records") -> str:
    """Of the intervals, for the head of their column."""
    for record in records:
        for one in record.predictions:
            of_bonds = (bond.interval for bond in one.bonds or ())
            if one.level and any((one.interval, *(one.intervals or ()), *of_bonds)):
                return f" ± {100 * one.level:g} %"
    return ""


def doubts(records: "Records") -> Iterator[str]:
    """Why numbers are marked; the same for many structures is said once."""
    names: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for record in records:
        for one in record.predictions:
            if one.in_domain is False:
                of = names.setdefault((one.model, tuple(one.reasons)), [])
                of += [record.name] if record.name not in of[-1:] else []
    for (model, reasons), of in names.items():
        more = f" and {len(of) - 1} more" if len(of) > 1 else ""
        yield f"{MARK} {of[0]}{more}: unlike what {model} learned from\n"
        yield from (f"    {reason}\n" for reason in reasons)


FORMS: dict[str, Callable[["Records"], str]] = {
    "json": as_json,
    "jsonl": as_jsonl,
    "csv": as_csv,
    "table": as_table,
}


def number(value: float | None) -> str:
    """Enough digits to compare, few enough to read."""
    return (
        "–"
        if value is None
        else f"{value:.4f}"
        if 1e-3 <= abs(value) < 1e5 or not value
        else f"{value:.4g}"
    )


def table(head: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> str:
    """Aligned columns without frames; nothing is cut off, so that it can be piped."""
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    lines = []
    for row in (head, *rows):
        cells = [
            cell.rjust(width) if i in right else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip() + "\n")
    return "".join(lines)


def faults(records: "Records") -> None:
    """What failed and what to know, one structure a paragraph, on stderr."""
    for record in records:
        told = [record.error] if record.error else []
        told += [one.error for one in record.predictions if one.error and one.error not in told]
        for error in told if record.status != "failed" else told[:1]:
            place = f" ({error.place})" if error.place else ""
            print(f"{record.name}{place}: {error.detail} [{error.code}]", file=sys.stderr)
            if error.hint:
                print(f"    {error.hint}", file=sys.stderr)
    notes(records)
    bad = sum(record.status == "failed" for record in records)
    if bad and len(records) > 1:
        print(f"{bad} of {len(records)} structures could not be predicted", file=sys.stderr)


def notes(records: "Records") -> None:
    """What to know before trusting the numbers; the same for many structures is said once."""
    names: dict[str, list[str]] = {}
    for record in records:
        for warning in record.warnings:
            names.setdefault(warning, []).append(record.name)
    for warning, of in names.items():
        more = f" and {len(of) - 1} more" if len(of) > 1 else ""
        print(f"{of[0]}{more}: note: {warning}", file=sys.stderr)


@contextmanager
def progress_bar() -> Iterator[Callable[["Progress"], None] | None]:
    """A bar on stderr when somebody looks at it."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[bad]}"))
    with Progress(
        *columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True
    ) as bar:
        task = bar.add_task("predicting", total=None, bad="")

        def tell(now: Any) -> None:
            bad = f"{now.failed} failed" if now.failed else ""
            bar.update(task, total=now.total, completed=now.done, bad=bad)

        yield tell
