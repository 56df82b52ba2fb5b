"""Figures of the results: those of a cell over all its seeds or folds, and what a full run would take."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.papers.keeping import Result
from benchmarks.papers.run import Run, SizeName
from benchmarks.papers.sources import Pairs
from benchmarks.papers.table import Cell


@dataclass(frozen=True, slots=True)
class Found:
    """Results of one run, one a seed: all full ones, or where there is none the shortened ones."""

    results: tuple[Result, ...]

    def value(self, figure: str) -> float | None:
        """The mean over the seeds."""
        known = self._each(figure)
        return statistics.fmean(known) if known else None

    def deviation(self, figure: str) -> float | None:
        """The deviation of the seeds, of two or more."""
        known = self._each(figure)
        return statistics.stdev(known) if len(known) > 1 else None

    def mean(self, name: str) -> float | None:
        """The mean number of `train`, `test`, `beyond` rows."""
        return statistics.fmean(each["n"][name] for each in self.results) if self.results else None

    def _each(self, figure: str) -> list[float]:
        found = (_figure(each, figure) for each in self.results)
        return [each for each in found if each is not None]


def _figure(result: Result, figure: str) -> float | None:
    found: float | None
    if figure == "nearest seen":
        found = result.get("beyond", {}).get("nearest_seen_mae")
    elif figure.startswith("flagged "):
        found = result.get("beyond", {}).get("flagged", {}).get(figure.removeprefix("flagged "))
    elif figure == "whole range":
        found = _whole(result)
    elif "/" in figure:  # of a baseline
        name, what = figure.split("/")
        found = result["baselines"].get(name, {}).get(what)
    else:
        part, what = figure.split(".")
        found = result["figures"].get(part, {}).get(what)
    return found


def _whole(result: Result) -> float | None:
    """The error within and beyond what was seen together."""
    parts = [part for part in ("test", "beyond") if part in result["figures"]]
    rows = [result["n"][part] for part in parts]
    errors = [result["figures"][part]["mae"] for part in parts]
    return float(sum(n * each for n, each in zip(rows, errors, strict=True)) / sum(rows))


class Results:
    """All results, by the names of their runs."""

    def __init__(self, results: Sequence[Result]) -> None:
        self._of: dict[tuple[str, str], dict[int, Result]] = {}
        for each in results:  # of the same seed the last one holds
            self._of.setdefault((each["name"], each["size"]), {})[each["seed"]] = each

    def of(self, run: Run) -> Found:
        """The best there are."""
        full = self._of.get((run.name, "full"), {})
        return Found(tuple((full or self._of.get((run.name, "short"), {})).values()))

    def value(self, cell: Cell) -> float | None:
        """A cell's figure."""
        return self.of(cell.run).value(cell.figure)

    def hours(self, runs: Sequence[Run]) -> float | None:
        """What the full runs would take, by the time that such runs took; None when of one nothing is known."""
        known = [self._hours(run) for run in runs]
        return None if None in known else sum(each for each in known if each is not None)

    def _hours(self, run: Run) -> float | None:
        found, rate = self.of(run), self._rate(run)
        rows = run.full.rows or (found.results[0]["n"]["all_train"] if found.results else None)
        if rate is None or rows is None:
            return None
        return rate * cost(run, "full", rows) * len(run.full.seeds) / 3600

    def _rate(self, run: Run) -> float | None:
        """Seconds for what costs 1: its own, else those of the costliest run of its kind."""
        own = [(run, each) for each in self.of(run).results]
        alike = [
            (other, each)
            for other, each in self._every
            if (other.source.family, other.method, _dimensions(other))
            == (run.source.family, run.method, _dimensions(run))
        ]
        rates = [
            (cost(other, each["size"], each["n"]["train"]), seconds(each))
            for other, each in own or alike
        ]
        if not rates:
            return None
        most, took = max(rates)
        return took / most

    def know(self, runs: Sequence[Run]) -> None:
        """The runs that there are, so that times can be estimated from others like them."""
        self._every = [(run, each) for run in runs for each in self.of(run).results]


def seconds(result: Result) -> float:
    """Those of the processor, which other work on the machine adds nothing to; the first results have the clock's."""
    return float(result["processor_s"] if "processor_s" in result else result["seconds"])


def cost(run: Run, size: SizeName, rows: int) -> float:
    """Rows times epochs; of images times pixels."""
    wanted = run.wanted(size)
    pixels = wanted.get("pixels", 1) ** _dimensions(run)
    return float(rows * run.size(size).epochs * pixels)


def _dimensions(run: Run) -> int:
    return run.source.dimensions if isinstance(run.source, Pairs) else 0
