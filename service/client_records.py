"""Answers as a scientist uses them: a value by name, rows for a table."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any

from service.schemas.prediction import PredictionView, RecordView

COLUMNS = (
    *("name", "formula", "n_sites", "model", "property", "value", "low", "high", "level", "std"),
    *("unit", "in_domain", "reasons", "error", "detail", "of_class", "label"),
)


@dataclass(frozen=True, slots=True)
class Number:
    """A value, and how far to trust it."""

    value: float | None
    interval: Sequence[float] | None
    std: float | None


class Record(RecordView):
    """The answer for one structure."""

    @property
    def ok(self) -> bool:
        """Whether every model answered."""
        return self.status == "succeeded"

    def prediction(self, of: str | None = None) -> PredictionView:
        """The prediction of a model (`name`, `name@3`) or of a property; needless with only one."""
        found = [
            one
            for one in self.predictions
            if of in (None, one.model, one.model.partition("@")[0], one.property)
        ]
        if len(found) == 1:
            return found[0]
        there = ", ".join(f"{one.model}/{one.property}" for one in self.predictions) or "none"
        if self.error is not None and not found:
            raise LookupError(f"{self.name}: {self.error.detail}")
        what = "no prediction" if not found else "several predictions"
        raise LookupError(f"{self.name}: {what} of {of!r}; there are: {there}")

    def value(self, of: str | None = None) -> float | None:
        """The number itself, in `unit(of)`; none when the model could not answer."""
        if not self.predictions:
            return None
        return self.prediction(of).value

    def interval(self, of: str | None = None) -> tuple[float, float] | None:
        """Between which numbers it lies, at the level that was asked for; none where that is not known."""
        found = self.prediction(of).interval if self.predictions else None
        return (found[0], found[1]) if found else None

    @property
    def in_domain(self) -> bool | None:
        """Whether it is like what the models learned from, as in a screening's table.

        False if one of them says so, true if all know it; else none: one cannot tell, or gave no answer.
        """
        known = [one.in_domain for one in self.predictions]
        if False in known:
            return False
        return True if known and None not in known else None

    @property
    def reasons(self) -> list[str]:
        """Why it is not, each said once."""
        return list(dict.fromkeys(why for one in self.predictions for why in one.reasons))

    def unit(self, of: str | None = None) -> str:
        """The unit of that number."""
        return self.prediction(of).unit

    def rename(self, name: str) -> None:
        """Tell the structure by the caller's path instead of the file's name alone."""
        if self.error is not None and self.error.file == self.name:
            self.error.file = name
        self.name = name

    def to_dict(self) -> dict[str, Any]:
        """As it came, with what is null."""
        return self.model_dump(mode="json", exclude_unset=True)

    def rows(self) -> Iterator[dict[str, Any]]:
        """One flat row a number; one row with the error when there is none."""
        head = {"name": self.name, "formula": self.formula, "n_sites": self.n_sites}
        for one in self.predictions:
            wrong = one.error or (self.error if one.value is None else None)
            for name, number in self._numbers(one):
                low, high = number.interval or (None, None)
                yield head | {
                    "model": one.model,
                    "property": name,
                    "value": number.value,
                    "low": low,
                    "high": high,
                    "level": one.level if number.interval else None,
                    "std": number.std,
                    "unit": one.unit,
                    "in_domain": one.in_domain,
                    "reasons": " ".join(one.reasons) or None,
                    "error": wrong.code if wrong else None,
                    "detail": wrong.detail if wrong else None,
                    "of_class": one.of_class,
                    "label": one.label,
                }
        if not self.predictions:
            wrong = self.error
            yield (
                dict.fromkeys(COLUMNS)
                | head
                | {
                    "error": wrong.code if wrong else None,
                    "detail": wrong.detail if wrong else None,
                }
            )

    def _numbers(self, one: PredictionView) -> Iterator[tuple[str, Number]]:
        """Names and numbers: one, or one a site (`charge[3:O]`) or bond (`bond-distance[48-31:Pd]`)."""
        if one.values is not None and self.sites is not None:
            intervals = one.intervals or repeat(None)
            for site, value, interval, std in zip(
                self.sites, one.values, intervals, one.stds or repeat(None), strict=False
            ):
                yield f"{one.property}[{site.index}:{site.element}]", Number(value, interval, std)
        elif one.bonds is not None:
            for bond in one.bonds:
                name = f"{one.property}[{one.adsorbate}-{bond.site}:{bond.element}]"
                yield name, Number(bond.distance, bond.interval, bond.std)
        else:
            yield one.property, Number(one.value, one.interval, one.std)


class Records(list[Record]):
    """The answers of one call, in the order of the structures."""

    @property
    def failed(self) -> "Records":
        """Those without any answer."""
        return Records(record for record in self if record.status == "failed")

    def values(self, of: str | None = None) -> list[float | None]:
        """One number a structure."""
        return [record.value(of) for record in self]

    def rows(self) -> list[dict[str, Any]]:
        """Flat rows, ready for `pandas.DataFrame`."""
        return [row for record in self for row in record.rows()]

    def to_pandas(self) -> Any:
        """A pandas DataFrame of `rows`."""
        import pandas as pd  # type: ignore[import-untyped,unused-ignore]

        return pd.DataFrame(self.rows())


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a call is."""

    done: int
    total: int
    failed: int


@dataclass(frozen=True, slots=True)
class Event:
    """One server-sent event of a job."""

    id: str | None
    kind: str
    data: Mapping[str, Any]
