"""A checkpoint file as torch's weights-only reader sees it: tensors, numbers and text, never code."""

import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.errors import BadCheckpoint

LARGEST_FILE = 64_000_000  # bytes
LARGEST_UNPACKED = 128_000_000
PLAIN = tuple(map(np.dtype, ("<f4", "<f8", "<i4", "<i8")))
FORBIDDEN = re.compile(r"GLOBAL ([\w.]+)|global ([\w.]+) was not", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What the published code saves, as far as it is of use."""

    state: dict[str, Tensor]
    mean: float
    std: float
    args: dict[str, Any]
    epoch: int | None
    best: float | None


def read_checkpoint(path: Path) -> Checkpoint:
    """Raises: BadCheckpoint."""
    _check_file(path)
    content = _load(path)
    if not isinstance(content, dict):
        raise _other(f"a {type(content).__name__}")
    if "state_dict" not in content:
        if content and all(isinstance(each, Tensor) for each in content.values()):
            raise _other(
                "weights alone",
                hint="Save the whole checkpoint, as the published main.py does: the normaliser and the args "
                "are needed to turn outputs into values.",
            )
        raise _other("keys " + ", ".join(sorted(map(str, content))[:8]))
    mean, std = _normaliser(content.get("normalizer"))
    return Checkpoint(
        _state(content["state_dict"]),
        mean,
        std,
        _args(content.get("args")),
        _number(content.get("epoch"), int),
        _number(content.get("best_mae_error"), float),
    )


def _scalar(kind: np.dtype[Any], data: bytes) -> np.number[Any]:
    """In place of numpy's own function of this name: single numbers, and nothing else."""
    if kind not in PLAIN or not isinstance(data, bytes | bytearray):
        raise ValueError("no plain number")
    number: np.number[Any] = np.frombuffer(bytes(data), kind, 1)[0]
    return number


# A figure of merit that numpy computed lies in the published classifier as a numpy number.
NUMPY_NAMES: list[Any] = [
    (_scalar, "numpy.core.multiarray.scalar"),
    (_scalar, "numpy._core.multiarray.scalar"),
    np.dtype,
    *map(type, PLAIN),
]


def _check_file(path: Path) -> None:
    size = path.stat().st_size
    if size > LARGEST_FILE:
        raise BadCheckpoint(
            "The file is too large.",
            expected=f"at most {LARGEST_FILE:,} bytes",
            got=f"{size:,} bytes",
        )
    if not zipfile.is_zipfile(path):
        return
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise BadCheckpoint(f"The zip is damaged: {error}.") from error
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise BadCheckpoint("The zip is compressed.", hint="torch.save writes it uncompressed.")
    if sum(member.file_size for member in members) > LARGEST_UNPACKED:
        raise BadCheckpoint("The zip claims to hold more than any network.")


def _load(path: Path) -> Any:
    try:
        with torch.serialization.safe_globals(NUMPY_NAMES):
            return torch.load(path, map_location="cpu", weights_only=True)
    except MemoryError as error:
        raise BadCheckpoint("The file asks for more memory than any network needs.") from error
    except Exception as error:  # a damaged pickle fails in every way there is
        found = FORBIDDEN.search(str(error))
        if found:
            name = found[1] or found[2]
            raise BadCheckpoint(
                f"The file wants to run code ({name}) and is not read.",
                expected="tensors, numbers and text only",
                got=name,
                hint="Save it with torch.save from a dict of state_dict, normalizer and args as plain values.",
            ) from error
        raise BadCheckpoint(
            "This is no file that torch can read.",
            expected="a .pth.tar as the published CGCNN code saves it, or a model exported from here",
            got=_first_bytes(path),
        ) from error


def _state(found: Any) -> dict[str, Tensor]:
    if not isinstance(found, dict) or not found:
        raise _other("a state_dict that is no dict of tensors")
    state = {}
    for name, value in found.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise _other(f"a {type(value).__name__} named {str(name)[:60]!r} in the state_dict")
        # What DataParallel puts before every name, and counters that are never used.
        plain = name.removeprefix("module.")
        if not plain.endswith("num_batches_tracked"):
            state[plain] = value
    return state


def _normaliser(found: Any) -> tuple[float, float]:
    if not isinstance(found, dict) or not {"mean", "std"} <= found.keys():
        raise BadCheckpoint(
            "The checkpoint has no normaliser, so its outputs cannot be turned into values.",
            expected="normalizer with mean and std",
            got="keys " + ", ".join(map(str, found))[:80] if isinstance(found, dict) else "none",
        )
    mean, std = (_number(found[key], float) for key in ("mean", "std"))
    if mean is None or std is None or not abs(mean) < 1e30 or not 0 < std < 1e30:
        raise BadCheckpoint(
            "The normaliser is of no use.",
            expected="one finite mean and one positive std",
            got=f"mean {found['mean']!s:.40}, std {found['std']!s:.40}",
        )
    return mean, std


def _args(found: Any) -> dict[str, Any]:
    if not isinstance(found, dict):
        raise BadCheckpoint(
            "The checkpoint has no args, so it does not say whether it is a regression or a classification.",
            expected="args as a dict, as the published main.py saves them",
            got=type(found).__name__,
        )
    return {str(key): value for key, value in found.items()}


def _number(found: Any, kind: type[float] | type[int]) -> Any:
    """A number, or a tensor or numpy number of one element; none for anything else."""
    if isinstance(found, Tensor):
        found = found.item() if found.numel() == 1 and found.layout == torch.strided else None
    if isinstance(found, bool) or not isinstance(found, int | float | np.number):
        return None
    try:
        return kind(found)
    except (OverflowError, ValueError):
        return None


def _other(got: str, hint: str | None = None) -> BadCheckpoint:
    return BadCheckpoint(
        "This is no checkpoint of the published CGCNN code.",
        expected="a dict with state_dict, normalizer and args",
        got=got,
        hint=hint,
    )


def _first_bytes(path: Path) -> str:
    with path.open("rb") as file:
        start = file.read(12)
    return f"a file that starts with {start!r}" if start else "an empty file"
