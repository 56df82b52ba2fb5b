"""What is learned from which public data set: rows as they are sent to a service, each with its part."""

import math
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.rows import Row, read
from benchmarks.splits import group, part

Label = Callable[[Row], Any]

GIVEN = {"by": "given", "column": "part"}
SHUFFLED = {"by": "random", "test": 0.2}  # of what is made anew


@dataclass(frozen=True, slots=True)
class Source:
    """Rows of one set."""

    name: str
    keep: Callable[[Row], bool] = lambda row: True  # noqa: ARG005
    label: Label | None = None  # instead of the column of the target's name
    # Whether its rows judge too. If not they only teach, those of no composition that judges.
    judges: bool = True


@dataclass(frozen=True, slots=True)
class Study:
    """One thing to learn."""

    sources: Sequence[Source]  # of one id in several of them the first counts
    target: dict[str, str]
    family: str = "crystal"
    columns: Sequence[str] = ()  # what else the family needs
    coordinates: str | None = None
    classes: Sequence[
        str
    ] = ()  # no and yes; without them the larger value, or the later word, is yes
    together: str | None = None  # what the groups are called that the split keeps together
    made: Sequence[str] = ()  # how its structures are made, where they come from no folder
    val: float = 0.05  # of these; where they are few, more calibrate intervals better

    @property
    def split(self) -> dict[str, Any]:
        """As a training is told."""
        if self.made:
            return SHUFFLED | {"val": self.val}
        return GIVEN | ({"together": self.together} if self.together else {})

    @property
    def options(self) -> dict[str, Any]:
        """What a training is told beside its target."""
        classes = {"classes": list(self.classes)} if self.classes else {}
        return {"family": self.family, "split": self.split, **classes}

    def write(self, data: Path, path: Path) -> None:
        """The data set as one file."""
        if self.made:
            program = [sys.executable, "-m", "models.generators", *self.made, "--out", str(path)]
            subprocess.run(program, check=True)
        else:
            pq.write_table(pa.Table.from_pylist(list(self._lines(data))), path)

    def _lines(self, data: Path) -> Iterator[dict[str, Any]]:
        judged, seen = self._judged(data), set[str]()
        for source in self.sources:
            for row in read(data, source.name):
                name, of = row.structure.name, part(row, source.name)
                if name in seen or not source.keep(row):
                    continue
                if not source.judges:
                    if of == "test" or row.composition in judged:
                        continue
                    of = "train"
                seen.add(name)
                yield self._line(row, source, of)

    def _judged(self, data: Path) -> set[str]:
        """Compositions of the rows that judge."""
        if all(source.judges for source in self.sources):
            return set()
        return {
            row.composition
            for source in self.sources
            if source.judges
            for row in read(data, source.name)
            if part(row, source.name) != "train"
        }

    def _line(self, row: Row, source: Source, of: str) -> dict[str, Any]:
        structure, column = row.structure, self.target["column"]
        return {
            "id": structure.name,
            "lattice": structure.lattice.ravel().tolist(),
            "numbers": structure.numbers.tolist(),
            "frac_coords": structure.fractional.ravel().tolist(),
            "part": of,
            column: source.label(row) if source.label else row.figures[column],
            **{each: row.figures[each] for each in self.columns},
            **({self.together: group(row, source.name)} if self.together else {}),
        }


def _elastic(row: Row) -> bool:
    return bool(row.figures.get("elastic_ok", True))


def _log(column: str) -> Label:
    return lambda row: math.log10(row.figures[column])


def _named(column: str) -> Label:
    return lambda row: row.figures[column]


def _metal(row: Row) -> str:
    return "metal" if row.figures["is_metal"] else "semiconductor"


def _moduli(label: Label) -> tuple[Source, ...]:
    return tuple(
        Source(name, keep=_elastic, label=label)
        for name in ("mp_cgcnn_elastic_3k", "mp_binary_elasticity")
    )


def _of_sheets() -> tuple[str, ...]:
    return ("sheets", "--count", "2500", "--columns", "3", "--rows", "2")


_SLABS = ("initial_frac_coords", "anchor_index", "neighbor_indices")

STUDIES = {
    "formation-energy": Study(
        (Source("mp_cgcnn_elastic_3k"), Source("mp_20_fragment", judges=False)),
        {"column": "formation_energy_per_atom", "property": "formation-energy-per-atom", "unit": "eV/atom"},
    ),
    "band-gap": Study(
        (
            Source("mp_cgcnn_elastic_3k"), Source("mp_20_fragment", judges=False),
            Source("dielectric_petousis", judges=False),
        ),
        {"column": "band_gap", "property": "band-gap", "unit": "eV"},
    ),
    "is-metal": Study(
        (
            Source("mp_cgcnn_elastic_3k", label=_metal),
            Source("mp_20_fragment", label=_metal, judges=False),
            Source("dielectric_petousis", label=lambda _row: "semiconductor", judges=False),
        ),
        {"column": "kind", "property": "metal-probability"},
        classes=("semiconductor", "metal"),
    ),
    "log-bulk-modulus": Study(
        _moduli(_log("bulk_modulus_vrh")),
        {"column": "log_k", "property": "bulk-modulus-log", "unit": "log10(GPa)"},
    ),
    "log-shear-modulus": Study(
        _moduli(_log("shear_modulus_vrh")),
        {"column": "log_g", "property": "shear-modulus-log", "unit": "log10(GPa)"},
    ),
    "poisson-ratio": Study(
        _moduli(_named("poisson_ratio")),
        {"column": "poisson_ratio", "property": "poisson-ratio", "unit": "1"},
    ),
    "fermi-energy": Study(
        (Source("mp_cgcnn_elastic_3k"),),
        {"column": "efermi", "property": "fermi-energy", "unit": "eV"},
    ),
    "perovskite-heat": Study(
        (Source("perov_5_partial"),),
        {"column": "heat_all", "property": "heat-of-formation", "unit": "eV"},
    ),
    "phonon-peak": Study(
        (Source("matbench_phonons"),),
        {"column": "last_phdos_peak", "property": "phonon-peak", "unit": "1/cm"},
    ),
    "refractive-index": Study(
        (Source("dielectric_petousis"),),
        {"column": "n", "property": "refractive-index", "unit": "1"},
    ),
    "heat-capacity": Study(
        (Source("alexandria_binary_cv"),),
        {"column": "heat_capacity_300K_per_atom", "property": "heat-capacity", "unit": "J/(mol K)"},
    ),
    "ddec-charge": Study(
        (Source("coremof_ddec", keep=lambda row: bool(row.figures["used_by_mpn_paper"])),),
        {"column": "ddec_charge", "property": "ddec-charge", "unit": "e"},
        family="site",
    ),
    "magnetic-moment": Study(
        (Source("nrel_oxide_sites", label=lambda row: [abs(each) for each in row.figures["magmom"]]),),
        {"column": "moment", "property": "magnetic-moment", "unit": "μB"},
        family="site",
    ),
    "oxidation-state": Study(
        (Source("nrel_oxide_sites"),),
        {"column": "oxidation_state", "property": "oxidation-state", "unit": "1"},
        family="site",
    ),
    "adsorbate-distances": Study(
        (Source("gamenet_fg"),),
        {"column": "bond_distances", "property": "adsorbate-distances", "unit": "Å"},
        family="bond", columns=_SLABS, coordinates="initial_frac_coords", together="molecule",
    ),
    "adsorption-energy": Study(
        (Source("gamenet_fg"),),
        {"column": "adsorption_energy", "property": "adsorption-energy", "unit": "eV"},
        columns=("initial_frac_coords",), coordinates="initial_frac_coords", together="molecule",
    ),
    "dimer-distance-2d": Study(
        (), {"column": "dimer_distance"}, family="image",
        made=("dimers", "--count", "20000", "--shortest", "1", "--longest", "2"),
    ),
    "dimer-energy-2d": Study(
        (), {"column": "dimer_energy"}, family="image",
        made=("dimers", "--count", "20000", "--even", "energy", "--longest", "3"),
    ),
    "dimer-distance-3d": Study(
        (), {"column": "dimer_distance"}, family="image",
        made=("dimers", "--count", "8000", "--dimensions", "3", "--shortest", "1", "--longest", "3"),
    ),
    "dimer-energy-3d": Study(
        (), {"column": "dimer_energy"}, family="image", val=0.2,
        made=("dimers", "--count", "10000", "--dimensions", "3", "--even", "energy", "--longest", "3"),
    ),
    "sheet-energy": Study((), {"column": "sheet_energy"}, family="image", made=_of_sheets(), val=0.2),
}  # fmt: skip
