"""The error tree: what the sender can mend (`InputError`) and what only we can (`ModelError`)."""

from typing import Any, ClassVar, Self


class MatpropError(Exception):
    """An error that a person reads: what was expected, what came, where, and how to cure it."""

    code: ClassVar[str] = "internal"

    def __init__(
        self,
        detail: str,
        *,
        file: str | None = None,
        place: str | None = None,
        expected: str | None = None,
        got: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.file = file
        self.place = place
        self.expected = expected
        self.got = got
        self.hint = hint

    def as_dict(self) -> dict[str, Any]:
        """The parts that are set, ready for JSON."""
        parts = {
            "code": self.code,
            "detail": self.detail,
            "file": self.file,
            "place": self.place,
            "expected": self.expected,
            "got": self.got,
            "hint": self.hint,
        }
        return {key: value for key, value in parts.items() if value is not None}

    @staticmethod
    def from_dict(parts: dict[str, Any]) -> "MatpropError":
        """The error that `as_dict` described, of its own class again."""
        rest = {key: value for key, value in parts.items() if key not in ("code", "detail")}
        return error_classes()[parts["code"]](parts["detail"], **rest)

    def in_file(self, name: str) -> Self:
        """The same error, naming the file unless it already names one."""
        self.file = self.file or name
        return self


class InputError(MatpropError):
    """The sender's input is at fault; the text goes to the sender as it is."""

    code = "invalid_input"


class EmptyInput(InputError):
    """Nothing was sent, or a file holds nothing."""

    code = "empty_input"


class UnknownFormat(InputError):
    """Neither name nor content tell what kind of file this is, or it is of a kind not read here."""

    code = "unknown_format"


class UnreadableStructure(InputError):
    """The file is of a known kind but breaks its rules."""

    code = "unreadable_structure"


class BadArchive(InputError):
    """A zip or tar that is damaged, or built to do harm."""

    code = "bad_archive"


class TooLarge(InputError):
    """Beyond a bound on bytes, lines, sites, blocks or files."""

    code = "too_large"


class ParserLimit(InputError):
    """Reading took more time or memory than one structure may take."""

    code = "parser_limit"


class DisorderedStructure(InputError):
    """A site is shared by several elements, or partly empty."""

    code = "disordered_structure"


class UnknownElement(InputError):
    """A symbol that names no element."""

    code = "unknown_element"


class ImpossibleGeometry(InputError):
    """Numbers no crystal has: overlapping sites, flat cells, lengths out of range, NaN."""

    code = "impossible_geometry"


class UnsupportedElement(InputError):
    """A real element that the model has no columns or no image for."""

    code = "unsupported_element"


class IsolatedSite(InputError):
    """A site with no neighbour within the model's radius."""

    code = "isolated_site"


class BadCheckpoint(InputError):
    """A checkpoint that is damaged, of another kind, or built to do harm."""

    code = "bad_checkpoint"


class UnknownModel(InputError):
    """No model, version or alias of this name."""

    code = "unknown_model"


class WrongUnit(InputError):
    """A unit that the property does not have."""

    code = "wrong_unit"


class BadSetting(InputError):
    """A setting that does not exist, or has a value it cannot have."""

    code = "bad_setting"


class BadDataset(InputError):
    """A data set of which too few rows are usable, or that holds none."""

    code = "bad_dataset"


class UnfitDataset(InputError):
    """A data set that cannot be learned from as asked: a column is missing, constant or of another kind,
    rows are too few, or a part of the split is empty.
    """

    code = "unfit_dataset"


class UnknownDataset(InputError):
    """No data set of this id or name."""

    code = "unknown_dataset"


class UnfitStructure(InputError):
    """A structure that this family of models cannot read: no adsorbate, a skewed cell, or none at all."""

    code = "unfit_structure"


class SourceChanged(InputError):
    """A place that has become another one while a screening read it."""

    code = "source_changed"


class ModelError(MatpropError):
    """The fault is ours; the sender is told the code and the job, the log the rest."""

    code = "internal"


class DamagedModel(ModelError):
    """A registered model whose files are not what its card says."""

    code = "damaged_model"


class OutOfMemory(ModelError):
    """One structure alone does not fit into the device's memory."""

    code = "out_of_memory"


class Diverged(ModelError):
    """A training whose loss is no finite number any more."""

    code = "diverged"


class StoreAway(ModelError):
    """The store of files cannot be reached."""

    code = "store_unavailable"

    def __init__(self, detail: str, *, passing: bool = True, **parts: Any) -> None:
        super().__init__(detail, **parts)
        self.passing = passing  # whether it may be back by itself


class StoreFull(ModelError):
    """No space is left for files."""

    code = "storage_full"


class WorkLost(ModelError):
    """Every worker that took this up was lost."""

    code = "worker_lost"


def error_classes() -> dict[str, type[MatpropError]]:
    """Each class by its code; the two roots share none of their children's codes."""
    found: dict[str, type[MatpropError]] = {}
    waiting: list[type[MatpropError]] = [InputError, ModelError]
    while waiting:
        cls = waiting.pop()
        found[cls.code] = cls
        waiting.extend(cls.__subclasses__())
    return found
