"""Figures that come with a model from elsewhere: the same again, or refused with a reason; never served as they came."""

import hashlib
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from models.card import Card
from models.catalogue import CARD, FIGURES, WEIGHTS, card_bytes, exported
from models.checkpoint import save_model
from models.errors import BadCheckpoint, DamagedModel
from models.figures import kept
from models.figures.drawing import write
from models.figures.told import FIGURES_BYTES, figures_bytes
from models.graphs.elements import table_sha256
from models.networks.crystal import CrystalNetwork
from models.published import Wishes, import_model
from models.settings.network import NetworkSettings
from tests.models.figures.made_up import card_of, full

NETWORK = NetworkSettings(convolutions=1, width=4, readout="linear")


def model(folder: Path) -> Card:
    card = card_of(network=NETWORK, elements_sha256=table_sha256(), name="first")
    return save_model(folder, write(folder, card, full()), [CrystalNetwork(NETWORK)])


def zipped(path: Path, **files: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name.replace("__", "."), data)
    return path


def with_figures(folder: Path, data: bytes, *, told: bool = True) -> Path:
    """The model as a zip with these figures; its card knows of them unless told otherwise."""
    card = model(folder)
    digest = hashlib.sha256(data).hexdigest() if told else card.figures_sha256
    card = card.model_copy(update={"figures_sha256": digest})
    weights = (folder / WEIGHTS).read_bytes()
    return zipped(
        folder.with_suffix(".zip"), card__json=card_bytes(card), weights__safetensors=weights,
        figures__json=data,
    )  # fmt: skip


@pytest.mark.parametrize("as_folder", [True, False])
def test_figures_go_with_a_model_and_are_drawn_anew(tmp_path: Path, as_folder: bool) -> None:
    first = model(tmp_path / "first")
    (tmp_path / "first" / "parity.svg").write_text("<svg><script>alert(1)</script></svg>")
    path = tmp_path / "first"
    if not as_folder:
        path = tmp_path / "model.zip"
        path.write_bytes(exported(tmp_path / "first"))
        with zipfile.ZipFile(path) as archive:
            assert archive.namelist() == [CARD, WEIGHTS, FIGURES]

    again = import_model(path, tmp_path / "again", Wishes("other"))

    assert again.figures_sha256 == first.figures_sha256
    assert kept.read(again, tmp_path / "again") == full()
    drawing = (tmp_path / "again" / "parity.svg").read_text()
    assert "script" not in drawing
    assert "other: predicted against true" in drawing
    assert exported(tmp_path / "again") == exported(tmp_path / "again")


def test_drawings_in_a_zip_are_left_behind(tmp_path: Path) -> None:
    model(tmp_path / "first")
    (tmp_path / "model.zip").write_bytes(exported(tmp_path / "first"))
    with zipfile.ZipFile(tmp_path / "model.zip", "a") as archive:
        archive.writestr("mine.svg", "<svg onload='alert(1)'/>")
    import_model(tmp_path / "model.zip", tmp_path / "again", Wishes("other"))
    assert not (tmp_path / "again" / "mine.svg").exists()


def test_a_model_without_figures_is_imported_without(tmp_path: Path) -> None:
    card = card_of(network=NETWORK, elements_sha256=table_sha256())
    save_model(tmp_path / "first", card, [CrystalNetwork(NETWORK)])
    again = import_model(tmp_path / "first", tmp_path / "again", Wishes("other"))
    assert again.figures_sha256 is None
    assert sorted(each.name for each in (tmp_path / "again").iterdir()) == [CARD, WEIGHTS]


def changed(**changes: Any) -> bytes:
    return json.dumps(json.loads(figures_bytes(full())) | changes).encode()


def of_target(**changes: Any) -> bytes:
    target = json.loads(figures_bytes(full()))["targets"][0]
    return changed(targets=[target | changes], elements=None)


HOSTILE: dict[str, Callable[[], bytes]] = {
    "no JSON": lambda: b"<svg/>",
    "no text": lambda: b"\xff\xfe\x00",
    "nothing": lambda: b"",
    "deep": lambda: b"[" * 100_000,
    "too large": lambda: b" " * (FIGURES_BYTES + 1),
    "NaN": lambda: figures_bytes(full()).replace(b"0.0625", b"NaN"),
    "infinite": lambda: figures_bytes(full()).replace(b"0.0625", b"1e999"),
    "beyond all bounds": lambda: figures_bytes(full()).replace(b"0.0625", b"1e300"),
    "a word for a number": lambda: of_target(mae="<script>"),
    "negative": lambda: of_target(mae=-1.0),
    "an unknown field": lambda: changed(script="alert(1)"),
    "an unknown part": lambda: changed(part="<script>"),
    "an element that is none": lambda: of_target(by_element=[{"element": "Xy", "mae": 1, "n": 1}]),
    "a script for an element": lambda: of_target(
        by_element=[{"element": "<script>", "mae": 1, "n": 1}]
    ),
    "columns of other lengths": lambda: of_target(parity={"true": [1.0, 2.0], "predicted": [1.0]}),
    "too many points": lambda: of_target(parity={"true": [1.0] * 2001, "predicted": [1.0] * 2001}),
    "other targets": lambda: changed(targets=[{"n": 0}] * 2, elements=None),
    "no targets": lambda: changed(targets=[], elements=None),
    "a share beyond one": lambda: of_target(
        calibration={"levels": [0.5], "coverage": [1.5], "n": 1}
    ),
    "a table twice": lambda: changed(
        elements={
            "kind": "contributions", "structures": 1, "targets": [[{"site": "A", "elements": []}] * 2],
        }
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_figures_are_refused_with_a_reason(tmp_path: Path, kind: str) -> None:
    path = with_figures(tmp_path / "model", HOSTILE[kind]())
    with pytest.raises(BadCheckpoint, match=r"figures\.json") as caught:
        import_model(path, tmp_path / "staged", Wishes("mine"))
    assert len(caught.value.detail) < 500
    assert not (tmp_path / "staged" / FIGURES).exists()


def test_other_figures_than_the_cards_are_refused(tmp_path: Path) -> None:
    path = with_figures(tmp_path / "model", changed(part="val"), told=False)
    with pytest.raises(BadCheckpoint, match="not those the card was written for"):
        import_model(path, tmp_path / "staged", Wishes("mine"))


@pytest.mark.parametrize("name", ["figures_sha256", "guide_sha256"])
def test_what_the_card_tells_of_must_be_there(tmp_path: Path, name: str) -> None:
    card = card_of(network=NETWORK, elements_sha256=table_sha256())
    card = save_model(tmp_path / "first", card, [CrystalNetwork(NETWORK)])
    told = card_bytes(card.model_copy(update={name: "0" * 64}))
    (tmp_path / "first" / CARD).write_bytes(told)
    (tmp_path / "model.zip").write_bytes(exported(tmp_path / "first"))
    for path in (tmp_path / "first", tmp_path / "model.zip"):
        with pytest.raises(BadCheckpoint, match=name.split("_", maxsplit=1)[0]):
            import_model(path, tmp_path / "staged", Wishes("mine"))


def test_another_guide_than_the_cards_is_refused(tmp_path: Path) -> None:
    card = card_of(network=NETWORK, elements_sha256=table_sha256(), guide_sha256="0" * 64)
    save_model(tmp_path / "first", card, [CrystalNetwork(NETWORK)])
    (tmp_path / "first" / "guide.safetensors").write_bytes(b"made up")
    with pytest.raises(BadCheckpoint, match="not the one the card was written for"):
        import_model(tmp_path / "first", tmp_path / "staged", Wishes("mine"))


def test_figures_that_were_changed_are_not_shown(tmp_path: Path) -> None:
    card = model(tmp_path)
    (tmp_path / FIGURES).write_bytes(changed(part="val"))
    with pytest.raises(DamagedModel, match="not those the card was written for"):
        kept.read(card, tmp_path)
    (tmp_path / FIGURES).unlink()
    with pytest.raises(DamagedModel):
        kept.read(card, tmp_path)
