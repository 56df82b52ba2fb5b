"""A trained model becomes a version with all that lies in its folder."""

from pathlib import Path

from models.catalogue import Catalogue
from models.checkpoint import save_model
from models.figures import kept
from models.figures.drawing import write
from models.graphs.elements import table_sha256
from models.networks.crystal import CrystalNetwork
from models.settings.network import NetworkSettings
from tests.models.figures.made_up import card_of, full
from workers.files import Files
from workers.registering import registered_as

NETWORK = NetworkSettings(convolutions=1, width=4, readout="linear")


def test_figures_and_drawings_go_with_a_trained_model(tmp_path: Path) -> None:
    folder, files = tmp_path / "job" / "model", Files(tmp_path / "state")
    card = write(folder, card_of(network=NETWORK, elements_sha256=table_sha256()), full())
    save_model(folder, card, [CrystalNetwork(NETWORK)])
    (folder / "guide.safetensors").write_bytes(b"a guide")
    (folder / "more").mkdir()
    (folder / "more" / "file").write_bytes(b"in a folder")

    made = registered_as(files, "mine", folder)

    assert made.id == "mine@1"
    found, home = Catalogue([files.models()]).get("mine")
    assert kept.read(found, home) == full()
    names = {each.name for each in folder.iterdir()}
    assert {each.name for each in home.iterdir()} == names
    assert (home / "more" / "file").read_bytes() == b"in a folder"
    assert registered_as(files, "mine", folder).id == "mine@1"  # not twice
