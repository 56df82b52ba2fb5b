"""Small data sets with labels that can be learned, in the layouts that people send."""

import io
import json
import zipfile
from collections.abc import Iterator

import numpy as np
from ase import Atoms
from ase.build import add_adsorbate, bulk, fcc111
from ase.data import covalent_radii

CATIONS, ANIONS = ("Li", "Na", "K", "Rb", "Cs"), ("F", "Cl", "Br", "I")
METALS = ("Cu", "Ag", "Au", "Pd", "Pt", "Ni")


def salts() -> Iterator[Atoms]:
    """Forty rock salts and caesium chlorides."""
    for kind, stretch in (("rocksalt", 1.9), ("cesiumchloride", 1.15)):
        for cation in CATIONS:
            for anion in ANIONS:
                yield bulk(f"{cation}{anion}", kind, a=stretch * (radius(cation) + radius(anion)))


def radius(symbol: str) -> float:
    return float(covalent_radii[Atoms(symbol).numbers[0]])


def poscar(atoms: Atoms) -> str:
    order = sorted(range(len(atoms)), key=lambda at: atoms.symbols[at])
    kinds = sorted(set(atoms.symbols))
    rows = [" ".join(f"{x:.8f}" for x in row) for row in atoms.cell[:]]
    sites = [" ".join(f"{x:.8f}" for x in atoms.get_scaled_positions()[at]) for at in order]
    counts = " ".join(str(list(atoms.symbols).count(kind)) for kind in kinds)
    return "\n".join(["made up", "1.0", *rows, " ".join(kinds), counts, "Direct", *sites, ""])


def crystals() -> bytes:
    """CGCNN's layout: a zip of files and id_prop.csv; the label follows the size of the cell."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        lines = []
        for number, atoms in enumerate(salts()):
            archive.writestr(f"{number}.poscar", poscar(atoms))
            lines.append(f"{number},{atoms.get_volume() / len(atoms) / 10 - 3:.5f}")
        archive.writestr("id_prop.csv", "\n".join(lines) + "\n")
    return content.getvalue()


def charges() -> bytes:
    """Extended XYZ with a charge a site, which the partner's size decides."""
    frames = []
    for atoms in salts():
        first, second = (radius(symbol) for symbol in atoms.symbols)
        charge = 0.5 + 0.3 * (first - second)
        cell = " ".join(f"{x:.6f}" for x in atoms.cell[:].ravel())
        head = f'Lattice="{cell}" Properties=species:S:1:pos:R:3:charge:R:1 pbc="T T T"'
        rows = [
            f"{symbol} {' '.join(f'{x:.6f}' for x in position)} {sign * charge:.5f}"
            for symbol, position, sign in zip(atoms.symbols, atoms.positions, (1, -1), strict=True)
        ]
        frames.append("\n".join([str(len(atoms)), head, *rows]))
    return ("\n".join(frames) + "\n").encode()


def slabs() -> bytes:
    """JSON lines: an oxygen above a metal, and how far it ends from its four nearest."""
    lines = []
    for metal in METALS:
        for place in ("fcc", "bridge", "ontop", "hcp"):
            slab = fcc111(metal, (2, 2, 3), vacuum=7.0)
            add_adsorbate(slab, "O", 1.9, place)
            final = slab.copy()
            final.positions[-1, 2] += radius(metal) + radius("O") - 2.0
            distances = final.get_distances(len(final) - 1, range(len(final) - 1), mic=True)
            nearest = np.argsort(distances)[:4]
            lines.append(
                json.dumps(
                    {
                        "id": f"{metal}-{place}",
                        "lattice": slab.cell[:].ravel().tolist(),
                        "numbers": slab.numbers.tolist(),
                        "frac_coords": slab.get_scaled_positions().ravel().tolist(),
                        "anchor_index": len(slab) - 1,
                        "neighbor_indices": nearest.tolist(),
                        "bond_distances": distances[nearest].tolist(),
                    }
                )
            )
    return ("\n".join(lines) + "\n").encode()


def dimers() -> bytes:
    """Extended XYZ: two hydrogens in a box of 10 Å, and their distance."""
    chance = np.random.default_rng(5)
    frames = []
    for _ in range(60):
        distance, angle = chance.uniform(1, 2), chance.uniform(0, 2 * np.pi)
        half = 0.5 * distance * np.array([np.cos(angle), np.sin(angle), 0])
        rows = [" ".join(f"{x:.6f}" for x in 5 + sign * half) for sign in (1, -1)]
        head = (
            f'Lattice="10 0 0 0 10 0 0 0 10" Properties=species:S:1:pos:R:3 distance={distance:.6f}'
        )
        frames.append("\n".join(["2", head, *(f"H {row}" for row in rows)]))
    return ("\n".join(frames) + "\n").encode()
