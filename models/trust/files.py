"""`guide.safetensors`: all that a guide knows, as arrays; whoever wrote it, what is read is bounded and checked."""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.catalogue import GUIDE
from models.errors import DamagedModel
from models.trust import gauge, lines
from models.trust.calibration import MOST, Difficulty
from models.trust.domain import MEMORY, Known, Limits
from models.trust.geometry import KINDS
from models.trust.guide import Guide, Seen
from models.trust.levels import Levels
from models.trust.ranks import STEPS
from models.trust.space import AXES, Space

if TYPE_CHECKING:  # pydantic is not there on a machine of torch and numpy alone
    from models.card import Card

LARGEST = 24_000_000  # bytes: as many structures and targets as there may be, of the longest names
STRUCTURES = 20_000  # kept, of a larger data set
PAIRS = np.triu_indices(KINDS)  # the smaller number first
TERMS = ("apart", "uneven", "between", "features", "stretch", "shake")
COLUMNS = lines.COLUMNS + 1  # and the kinds' errors

Arrays = dict[str, NDArray[Any]]
Array = NDArray[Any]


def arrays(guide: Guide) -> Arrays:
    """The guide as it is kept."""
    known, seen = guide.known, guide.seen
    found: Arrays = {
        "space.mean": guide.space.mean.numpy().astype(np.float32),
        "space.turn": guide.space.turn.numpy().astype(np.float32),
        "space.kept": guide.space.kept.numpy().astype(np.float16),
        "seen.names": _text(seen.names),
        "seen.formulas": _text(seen.formulas),
        "seen.labels": seen.labels.astype(np.float32),
        "known.rows": np.array([known.rows], np.int64),
        "known.elements": known.elements.astype(np.int64),
        "known.sites": known.sites.astype(np.int64),
        "known.low": known.low[PAIRS].astype(np.float16),
        "known.high": known.high[PAIRS].astype(np.float16),
        "known.ratio": known.ratio.astype(np.float32),
        "known.shortest": known.shortest.astype(np.float32),
        "known.kinds": known.kinds.astype(np.int64),
        "known.alone": known.alone.astype(np.float32),
        "known.tall": np.array([known.tall], np.int64),
        "limits.whole": np.array([guide.limits.whole]),
        "rest": guide.rest,
        "levels.centre": guide.levels.centre.astype(np.float32),
        "levels.weights": guide.levels.weights.astype(np.float32),
    }
    if seen.errors is not None:
        found["seen.errors"] = seen.errors.astype(np.float16)
    found |= {f"limits.{name}": values for name, values in guide.limits.terms.items()}
    found |= {f"gauge.{name}": value.numpy() for name, value in (guide.gauge or {}).items()}
    for name in ("centre", "scale", "weights", "kinds") if guide.difficulties else ():
        found[f"difficulty.{name}"] = np.stack([getattr(each, name) for each in guide.difficulties])
    if guide.difficulties:
        for name in ("constant", "most"):
            found[f"difficulty.{name}"] = np.array(
                [getattr(each, name) for each in guide.difficulties]
            )
    return found


def save(folder: Path, guide: Guide) -> str:
    """Write the file; what it hashes to belongs into the card."""
    from safetensors.numpy import save as packed

    data = packed({name: np.ascontiguousarray(each) for name, each in arrays(guide).items()})
    folder.mkdir(parents=True, exist_ok=True)
    (folder / GUIDE).write_bytes(data)
    return hashlib.sha256(data).hexdigest()


def load(folder: Path, card: "Card") -> Guide | None:
    """The guide of the model in this folder; none where its card knows of none. Raises: DamagedModel."""
    if card.guide_sha256 is None:
        return None
    try:
        if (folder / GUIDE).stat().st_size > LARGEST:
            raise DamagedModel(f"{card.id}: {GUIDE} is larger than any guide.")
        data = (folder / GUIDE).read_bytes()
    except OSError as error:
        raise DamagedModel(f"{card.id}: {GUIDE} cannot be read: {error.strerror}.") from error
    return opened(data, card)


def opened(data: bytes, card: "Card") -> Guide:
    """The guide in these bytes. Raises: DamagedModel."""
    from safetensors import SafetensorError
    from safetensors.numpy import load as unpacked

    if len(data) > LARGEST:
        raise DamagedModel(f"{card.id}: {GUIDE} is larger than any guide.")
    if hashlib.sha256(data).hexdigest() != card.guide_sha256:
        raise DamagedModel(f"{card.id}: {GUIDE} is not the one the card was written for.")
    try:
        found = unpacked(data)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise DamagedModel(f"{card.id}: {GUIDE}: {error}.") from error
    try:
        return _Reading(found).guide(card)
    except _Unfit as error:
        raise DamagedModel(f"{card.id}: {GUIDE}: {error}.") from error


class _Unfit(Exception):
    """What is wrong with an array."""


class _Reading:
    """Takes arrays out of a file, and leaves none unlooked at."""

    def __init__(self, found: Arrays) -> None:
        self._left = dict(found)

    def take(
        self, name: str, *shape: int, kind: str = "f", low: float = -np.inf, high: float = np.inf
    ) -> Array:
        """An array of this shape; -1 stands for any length."""
        if name not in self._left:
            raise _Unfit(f"no {name}")
        each = self._left.pop(name)
        fits = each.ndim == len(shape) and all(
            want in (-1, have) for want, have in zip(shape, each.shape, strict=True)
        )
        if not fits or each.dtype.kind != kind:
            raise _Unfit(f"{name} is {each.dtype} {each.shape}, expected {shape}")
        if kind == "f":
            each = each.astype(np.float64)
        if each.size and not (np.nanmin(each) >= low and np.nanmax(each) <= high):
            raise _Unfit(f"{name} holds impossible numbers")
        if not np.isfinite(each).all() and name != "seen.labels":
            raise _Unfit(f"{name} holds numbers that are not finite")
        return each

    def guide(self, card: "Card") -> Guide:
        """All of it."""
        targets = len(card.targets)
        minded = "seen.errors" in self._left
        wide = getattr(card.network, "hidden_width" if card.family == "image" else "width")
        space = self._space(wide)
        labelled = targets if card.family in ("crystal", "image") else 0
        count = len(space.kept)
        with np.errstate(all="ignore"):
            seen = Seen(
                self._words("seen.names", count),
                self._words("seen.formulas", count),
                self.take("seen.labels", count, labelled),
                self.take("seen.errors", count, targets, low=0, high=1e4) if minded else None,
            )
        found = Guide(
            card.family,
            np.array([each.mean for each in card.targets]),
            np.array([each.std for each in card.targets]),
            space,
            seen,
            self._known(),
            self._limits(),
            self._gauge(),
            self.take("rest", 2, low=-10, high=10),
            self._levels(targets, KINDS + space.turn.shape[1]),
            self._difficulties(targets, COLUMNS + minded),
        )
        gauged = found.gauge is not None
        if gauged != ("stretch" in found.limits.terms) or (gauged and card.family == "image"):
            raise _Unfit("the gauge and its limits do not belong together")
        if self._left:
            raise _Unfit(f"{min(self._left)!r:.60} belongs to no guide that this matprop knows")
        return found

    def _space(self, width: int) -> Space:
        mean = self.take("space.mean", width)
        turn = self.take("space.turn", len(mean), -1)
        if not 1 <= turn.shape[1] <= AXES:
            raise _Unfit(f"a space of {turn.shape[1]} axes")
        kept = self.take("space.kept", -1, turn.shape[1])
        if not 1 <= len(kept) <= STRUCTURES:
            raise _Unfit(f"{len(kept)} structures")
        return Space(
            torch.from_numpy(mean),
            torch.from_numpy(turn),
            torch.from_numpy(kept),
            whole="seen.errors" in self._left,
        )

    def _known(self) -> Known:
        return Known(
            int(self.take("known.rows", 1, kind="i", low=1, high=2**40)[0]),
            self.take("known.elements", KINDS, kind="i", low=0, high=2**40),
            self.take("known.sites", 2, kind="i", low=1, high=2**40),
            self._pairs("known.low"),
            self._pairs("known.high"),
            self.take("known.ratio", 2, low=1e-3, high=1e3),
            self.take("known.shortest", MEMORY, low=0, high=1e4),
            *self._alone(),
        )

    def _pairs(self, name: str) -> Array:
        if getattr(self._left.get(name), "ndim", 1) == 2:  # as they were kept before
            return self.take(name, KINDS, KINDS, low=0, high=1e4)
        found = np.zeros((KINDS, KINDS))
        found[PAIRS] = self.take(name, len(PAIRS[0]), low=0, high=1e4)
        return found

    def _alone(self) -> tuple[Array, Array, bool]:
        if "known.kinds" not in self._left:  # a guide of before these were kept: nothing is unlike
            return np.array([1, KINDS]), np.zeros((KINDS, 2)), True
        return (
            self.take("known.kinds", 2, kind="i", low=1, high=KINDS),
            self.take("known.alone", KINDS, 2, low=0, high=1e4),
            bool(self.take("known.tall", 1, kind="i", low=0, high=1)[0]),
        )

    def _limits(self) -> Limits:
        names = [name for name in TERMS if f"limits.{name}" in self._left]
        if "features" not in names:
            raise _Unfit("no limits.features")
        terms = {name: self.take(f"limits.{name}", STEPS + 1, low=0, high=1e9) for name in names}
        if any(values[-1] <= 0 or (np.diff(values[:-1]) < 0).any() for values in terms.values()):
            raise _Unfit("limits that do not ascend")
        return Limits(terms, float(self.take("limits.whole", 1, low=1, high=1e6)[0]))

    def _gauge(self) -> gauge.State | None:
        kept = {name for name in self._left if name.startswith("gauge.")}
        if not kept:
            return None
        if self._left.get("gauge.embedding.bias", np.zeros(())).ndim != 1:
            raise _Unfit("no width of the gauge")
        with torch.device("meta"):
            settings = gauge.settings_of({name[6:]: self._left[name] for name in kept})
            wanted = gauge.weights(gauge.build(settings))
        return {
            name: torch.tensor(
                self.take(f"gauge.{name}", *value.shape, low=-1e6, high=1e6), dtype=torch.float32
            )
            for name, value in wanted.items()
        }

    def _levels(self, targets: int, inputs: int) -> Levels:
        return Levels(
            self.take("levels.centre", inputs, low=-1e6, high=1e6),
            self.take("levels.weights", targets, inputs, low=-1e3, high=1e3),
        )

    def _difficulties(self, targets: int, columns: int) -> tuple[Difficulty, ...]:
        if "difficulty.constant" not in self._left:
            return ()
        parts = [
            self.take("difficulty.centre", targets, columns, low=-1e6, high=1e6),
            self.take("difficulty.scale", targets, columns, low=1e-9, high=1e6),
            self.take("difficulty.weights", targets, columns, low=0, high=100),
            self.take("difficulty.constant", targets, low=-100, high=100),
            self.take("difficulty.kinds", targets, KINDS, low=-100, high=100),
            self.take("difficulty.most", targets, low=-100, high=MOST)
            if "difficulty.most" in self._left
            else np.full(targets, MOST),  # of a guide of before
        ]
        return tuple(
            Difficulty(centre, scale, weights, float(constant), kinds, float(most))
            for centre, scale, weights, constant, kinds, most in zip(*parts, strict=True)
        )

    def _words(self, name: str, count: int) -> list[str]:
        data = self.take(name, -1, kind="u")
        if data.dtype != np.uint8:
            raise _Unfit(f"{name} is no text")
        words = data.tobytes().decode("utf-8", "replace").split("\n")
        if len(words) != count:
            raise _Unfit(f"{name} tells {len(words)} of {count}")
        return [_clean(word) for word in words]


def _text(words: Any) -> Array:
    return np.frombuffer("\n".join(_clean(word) for word in words).encode(), np.uint8)


def _clean(word: str) -> str:
    """On one line, and no longer than a name has to be."""
    return " ".join(word.split())[:80].encode("utf-8", "replace").decode("utf-8", "replace")
