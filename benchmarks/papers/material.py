"""Rows as a network of some settings reads them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from benchmarks.papers.sources import Lines, Pairs, Set
from benchmarks.rows import Row
from models.errors import InputError
from models.families import bond
from models.families.family import family
from models.samples import Sample, featurise
from models.settings.frozen import InputSettings
from models.slabs.slab import BONDS
from models.structures.structure import Structure
from models.training.dataset import Dataset, Labels, Rows
from models.training.split import Split

if TYPE_CHECKING:
    from models.families.kinds import AnyInput


@dataclass(frozen=True, slots=True, eq=False)
class Material:
    """What is learned from, and judged by."""

    family: str
    data: Dataset
    parts: Split
    beyond: Rows  # test rows outside of what is learned from
    refused: int  # rows that this family cannot read


class Kitchen:
    """Makes samples, each once as long as the source and the input stay the same."""

    def __init__(self) -> None:
        self._made: dict[str, Sample | None] = {}
        self._of: tuple[str, str] | None = None

    def material(self, source: Set | Pairs, lines: Lines, settings: InputSettings) -> Material:
        """Samples and labels of these lines."""
        of = (str(source.told()), settings.key())
        if self._of != of:
            self._of, self._made = of, {}
        samples = [self._sample(row, settings, source.family) for row in lines.rows]
        read = [at for at, sample in enumerate(samples) if sample is not None]
        parts = np.array(lines.parts, dtype=object)[read]
        chosen = [samples[at] for at in read]
        labels = [lines.labels[at] for at in read]
        rows = [lines.rows[at] for at in read]
        data = Dataset(
            chosen,
            _labels(source, chosen, labels, rows),
            family(source.family),
            (source.told()[1],),
            np.sort(np.array(labels, float), 1)[:, :BONDS] if source.family == "bond" else None,
        )
        beyond = np.flatnonzero(parts == "beyond")
        return Material(
            source.family, data, Split.of(parts.tolist()), beyond, len(samples) - len(read)
        )

    def _sample(self, row: Row, settings: InputSettings, name: str) -> Sample | None:
        key = row.structure.name
        # Pairs are called alike whatever their seed: their makers keep none.
        if key not in self._made or name == "image":
            self._made[key] = _featurised(row, settings, name)
        return self._made[key]


def _featurised(row: Row, settings: InputSettings, name: str) -> Sample | None:
    structure, adsorbate = row.structure, None
    if name == "bond":  # what is read is the slab before relaxation
        places = np.array(row.figures["initial_frac_coords"], float).reshape(-1, 3)
        structure = Structure(structure.name, structure.lattice, structure.numbers, places)
        adsorbate = str(row.figures["anchor_index"])
    try:
        return featurise(structure, cast("AnyInput", settings), adsorbate)
    except InputError:
        return None


def _labels(
    source: Set | Pairs, samples: Sequence[Any], labels: Sequence[Any], rows: Sequence[Row]
) -> Labels:
    if source.family == "site":
        first = np.concatenate([[0], np.cumsum([len(each) for each in labels])])
        return Labels(np.concatenate(labels).astype(float)[:, None], first)
    if source.family == "bond":
        partners = [row.figures["neighbor_indices"] for row in rows]
        return bond.labels(samples, partners, labels)[0]
    return Labels.one_a_row(np.array(labels, float)[:, None])
