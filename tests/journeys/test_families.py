"""One call that asks models of several families."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from models.card import Card
from models.catalogue import register

CHECKPOINTS = Path(__file__).parents[1] / "data" / "checkpoints"
SITES = [(x, y, z) for z in (0, 2.0) for y in (0, 2.8) for x in (0, 2.8)]
MOLECULE = [(0.1, 0, 3.9), (0.1, 0, 5.05)]


def slab() -> bytes:
    """Palladium with CO, the molecule first: the order of the file is not that of the elements."""
    lines = [" ".join(map(str, each)) for each in (*MOLECULE, *SITES)]
    head = "slab\n1.0\n5.6 0 0\n0 5.6 0\n0 0 20\nC O Pd\n1 1 8\nCartesian\n"
    return (head + "\n".join(lines) + "\n").encode()


@pytest.mark.parametrize(
    ("adsorbate", "anchor"),
    [
        (None, 0),
        pytest.param("1", 1, marks=pytest.mark.slow),  # how it is told, other tests ask for as well
        pytest.param("C", 0, marks=pytest.mark.slow),
    ],
)
def test_sites_and_bonds_are_answered_beside_a_crystal(
    start: Callable, tmp_path: Path, adsorbate: str | None, anchor: int
) -> None:
    for name in ("crystal", "site", "bond"):
        staged = tmp_path / name
        shutil.copytree(CHECKPOINTS / name, staged)
        card = Card.model_validate_json((staged / "card.json").read_bytes())
        register(tmp_path / "state" / "models", staged, card.model_copy(update={"name": name}))
    service = start()
    parts = [("model", None, name.encode()) for name in ("crystal", "site", "bond")]
    named = [("adsorbate", None, adsorbate.encode())] if adsorbate else []

    status, _, body = service.form(
        "/v1/predictions", ("files", "slab.vasp", slab()), *parts, *named, Prefer="wait=60"
    )

    assert status == 200, body
    (record,) = body["records"]
    crystal, site, bond = record["predictions"]
    assert crystal["value"] is not None
    assert [one["element"] for one in record["sites"]] == ["C", "O"] + ["Pd"] * 8
    assert [one["values"]["site@1/p"] for one in record["sites"]] == site["values"]
    assert bond["adsorbate"] == anchor
    assert [(one["rank"], one["element"]) for one in bond["bonds"]] == [
        (n, "Pd") for n in (1, 2, 3, 4)
    ]
