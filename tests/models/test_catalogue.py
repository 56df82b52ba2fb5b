import multiprocessing
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from models.card import Card, Target
from models.catalogue import CARD, RELEASED, WEIGHTS, Catalogue, card_bytes, register
from models.errors import DamagedModel, InputError, UnknownModel
from models.settings.graph import GraphSettings
from models.settings.network import NetworkSettings


def card(name: str, version: int = 1) -> Card:
    return Card(
        name=name,
        version=version,
        title="A test",
        origin="trained",
        targets=(Target(property="band-gap", unit="eV"),),
        graph=GraphSettings(),
        network=NetworkSettings(),
        elements_sha256="0",
        weights_sha256="0",
        created_at=datetime.now(UTC),
    )


def staged(folder: Path, which: Card) -> Path:
    folder.mkdir(parents=True)
    (folder / WEIGHTS).write_bytes(b"weights")
    (folder / CARD).write_bytes(card_bytes(which))
    return folder


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """What ships, and what users add."""
    for version in (1, 2):
        staged(tmp_path / "released" / "energy" / str(version), card("energy", version))
    return tmp_path / "released", tmp_path / "models"


@pytest.fixture
def add(tmp_path: Path, folders: tuple[Path, Path]) -> Callable[[str], Card]:
    """Registers another model of this name."""
    count = iter(range(1000))

    def one(name: str) -> Card:
        which = card(name)
        folder = staged(tmp_path / f"staged{next(count)}", which)
        return register(folders[1], folder, which, folders[0])

    return one


def test_a_name_stands_for_its_newest_version(folders: tuple[Path, Path]) -> None:
    catalogue = Catalogue(folders)

    assert catalogue.get("energy")[0].id == "energy@2"
    assert catalogue.get("energy@latest")[0].id == "energy@2"
    assert catalogue.get("energy@1")[1] == folders[0] / "energy" / "1"


def test_versions_count_on_from_what_ships(
    folders: tuple[Path, Path], add: Callable[[str], Card]
) -> None:
    catalogue = Catalogue(folders)

    registered = [add("energy").id, add("gap").id, add("energy").id]

    assert registered == ["energy@3", "gap@1", "energy@4"]
    assert [each.id for each in catalogue.list()] == [
        "energy@4", "energy@3", "energy@2", "energy@1", "gap@1",
    ]  # fmt: skip
    assert [each.version for each in catalogue.versions("energy")] == [4, 3, 2, 1]


def test_a_model_registered_later_is_seen(
    folders: tuple[Path, Path], add: Callable[[str], Card]
) -> None:
    catalogue = Catalogue(folders)
    with pytest.raises(UnknownModel):
        catalogue.get("gap")

    add("gap")

    assert catalogue.get("gap")[0].version == 1


def test_an_alias_can_be_moved(folders: tuple[Path, Path]) -> None:
    catalogue = Catalogue(folders)

    catalogue.set_alias("energy", "prod", 1)
    assert catalogue.get("energy@prod")[0].version == 1

    catalogue.set_alias("energy", "prod", 2)
    assert Catalogue(folders).get("energy@prod")[0].version == 2
    assert catalogue.aliases("energy") == {"prod": 2}


@pytest.mark.parametrize("alias", ["latest", "3", "a b", "", "Prod", "x" * 64, "../x"])
def test_what_is_no_alias_is_refused(folders: tuple[Path, Path], alias: str) -> None:
    with pytest.raises(InputError):
        Catalogue(folders).set_alias("energy", alias, 1)


def test_an_alias_of_no_version_is_refused(folders: tuple[Path, Path]) -> None:
    with pytest.raises(UnknownModel, match="no version '7'"):
        Catalogue(folders).set_alias("energy", "prod", 7)


def test_a_removed_version_is_gone_and_its_number_is_never_given_again(
    folders: tuple[Path, Path], add: Callable[[str], Card]
) -> None:
    catalogue = Catalogue(folders)
    add("energy")
    add("gap")
    assert [catalogue.is_own("energy", version) for version in (2, 3)] == [False, True]

    catalogue.remove("energy", 3)
    catalogue.remove("gap", 1)

    assert catalogue.get("energy")[0].id == "energy@2"
    with pytest.raises(UnknownModel):
        catalogue.get("gap")
    assert catalogue.warnings() == {}
    assert [add("energy").id, add("gap").id] == ["energy@4", "gap@2"]


def test_a_near_name_is_suggested(folders: tuple[Path, Path]) -> None:
    with pytest.raises(UnknownModel) as caught:
        Catalogue(folders).get("enrgy")

    assert caught.value.hint == "Did you mean energy?"


@pytest.mark.parametrize(
    "name", ["energy@9", "energy@test", "energy@", "energy@-1", "energy@1@1", "../energy", "", "@"]
)
def test_what_is_not_there_is_unknown(folders: tuple[Path, Path], name: str) -> None:
    catalogue = Catalogue(folders)
    if name == "energy@":
        assert catalogue.get(name)[0].version == 2
        return
    with pytest.raises(UnknownModel):
        catalogue.get(name)


@pytest.mark.parametrize(
    ("file", "text"), [(CARD, "{"), (CARD, '{"format": 1}'), (CARD, None), (WEIGHTS, None)]
)
def test_a_damaged_model_does_not_hide_the_others(
    folders: tuple[Path, Path], file: str, text: str | None
) -> None:
    path = folders[0] / "energy" / "2" / file
    path.write_text(text) if text else path.unlink()
    catalogue = Catalogue(folders)

    assert [each.id for each in catalogue.list()] == ["energy@1"]
    assert list(catalogue.warnings()) == ["energy@2"]
    with pytest.raises(DamagedModel):
        catalogue.get("energy@2")


def test_a_model_with_nothing_left_is_damaged_not_unknown(folders: tuple[Path, Path]) -> None:
    for version in "12":
        (folders[0] / "energy" / version / CARD).write_text("{")

    with pytest.raises(DamagedModel):
        Catalogue(folders).get("energy")


def test_a_card_of_another_model_is_damage(folders: tuple[Path, Path]) -> None:
    shutil.copytree(folders[0] / "energy" / "1", folders[0] / "energy" / "7")

    assert "energy@7" in Catalogue(folders).warnings()


def test_missing_folders_are_an_empty_catalogue(tmp_path: Path) -> None:
    assert Catalogue([tmp_path / "none"]).list() == []


@pytest.mark.parametrize("name", ["", "a b", "../a", "A", "-a", "a" * 64, "a/b", "a@1"])
def test_what_is_no_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError):
        register(tmp_path / "models", tmp_path / "staged", card(name))


def _register(place: tuple[Path, Path]) -> int:
    return register(place[0], place[1], card("busy"), place[0] / "none").version


def test_many_at_once_get_a_version_each(tmp_path: Path) -> None:
    places = [
        (tmp_path / "models", staged(tmp_path / f"staged{at}", card("busy"))) for at in range(24)
    ]
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        versions = pool.map(_register, places, chunksize=1)

    assert sorted(versions) == list(range(1, 25))
    assert len(Catalogue([tmp_path / "models"]).list()) == 24


def test_what_ships_is_whole() -> None:
    catalogue = Catalogue([RELEASED])

    assert catalogue.warnings() == {}
    assert "formation-energy" in {each.name for each in catalogue.list()}
