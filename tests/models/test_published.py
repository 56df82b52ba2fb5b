"""Checkpoints as the published code saves them, and as no honest code does."""

import json
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from models.catalogue import exported
from models.checkpoint import load_networks
from models.errors import BadCheckpoint, InputError, MatpropError, WrongUnit
from models.graphs.collate import collate
from models.graphs.featurise import featurise
from models.infer import Resident
from models.networks.released import Layout
from models.published import Wishes, import_model
from models.settings.graph import GraphSettings, Ties
from models.structures.structure import Structure

ENERGY = Wishes("energy", property="formation-energy-per-atom", unit="eV/atom")
Content = dict[str, Any]


def content(layout: Layout | None = None, **changes: Any) -> Content:
    """What the published main.py saves."""
    layout = layout or Layout(8, 2, 41, 6, 2, 1)
    torch.manual_seed(0)
    state = {
        name: torch.rand(shape) + 0.1 if "running_var" in name else torch.randn(shape) * 0.3
        for name, shape in layout.shapes().items()
    }
    args = {
        "task": "regression", "atom_fea_len": layout.width, "n_conv": layout.convolutions,
        "h_fea_len": layout.hidden_width, "n_h": layout.hidden_layers, "data_options": ["data/"],
    }  # fmt: skip
    whole = {
        "epoch": 30,
        "state_dict": state,
        "best_mae_error": 0.04,
        "optimizer": {"state": {}, "param_groups": [{"lr": 0.01}]},
        "normalizer": {"mean": torch.tensor(-1.5), "std": torch.tensor(1.1)},
        "args": args,
    }
    return whole | changes


def saved(path: Path, what: Any, **options: Any) -> Path:
    torch.save(what, path, **options)
    return path


def plain_answer(whole: Content, structure: Structure) -> float:
    """The published network, from its own names and in its own words."""
    state: dict[str, Tensor] = {k: v.double() for k, v in whole["state_dict"].items()}
    batch = collate([featurise(structure, GraphSettings(ties=Ties.RELEASED))])

    def linear(name: str, x: Tensor) -> Tensor:
        return F.linear(x, state[f"{name}.weight"], state[f"{name}.bias"])

    def norm(name: str, x: Tensor) -> Tensor:
        keys = ("running_mean", "running_var", "weight", "bias")
        return F.batch_norm(x, *(state[f"{name}.{key}"] for key in keys))

    from models.graphs.elements import table

    sites = linear("embedding", torch.tensor(table()[structure.numbers]).double())
    centres = torch.arange(0, 8.2, 0.2, dtype=torch.float64)
    edges = torch.exp(-((batch.distance.double()[:, None] - centres) ** 2) / 0.04)
    for at in range(whole["args"]["n_conv"]):
        joined = torch.cat([sites[batch.centre], sites[batch.neighbour], edges], 1)
        gate, core = norm(f"convs.{at}.bn1", linear(f"convs.{at}.fc_full", joined)).chunk(2, 1)
        messages = (torch.sigmoid(gate) * F.softplus(core)).view(len(sites), 12, -1).sum(1)
        sites = F.softplus(sites + norm(f"convs.{at}.bn2", messages))
    crystal = F.softplus(linear("conv_to_fc", F.softplus(sites.mean(0, keepdim=True))))
    for at in range(whole["args"]["n_h"] - 1):
        crystal = F.softplus(linear(f"fcs.{at}", crystal))
    out = linear("fc_out", crystal)
    if whole["args"]["task"] == "classification":
        return float(out.softmax(1)[0, 1])
    return float(out * whole["normalizer"]["std"] + whole["normalizer"]["mean"])


@pytest.mark.parametrize("old_format", [True, False])
def test_an_imported_model_answers_as_the_published_network(
    tmp_path: Path, crystals: list[Structure], old_format: bool
) -> None:
    whole = content()
    options = {"_use_new_zipfile_serialization": not old_format}
    path = saved(tmp_path / "model.pth.tar", whole, **options)

    card = import_model(path, tmp_path / "staged", ENERGY)

    model = Resident(*load_networks(tmp_path / "staged"), torch.device("cpu"))
    for structure in crystals:
        value = model.answer([featurise(structure, card.input)])[0].values[0]
        assert value == pytest.approx(plain_answer(whole, structure), abs=2e-5)
    assert card.metrics == {"val": {"mae": 0.04}}
    assert card.input.ties is Ties.RELEASED


def test_a_classifier_with_a_numpy_figure_is_read(
    tmp_path: Path, crystals: list[Structure]
) -> None:
    whole = content(Layout(8, 1, 41, 6, 1, 2), best_mae_error=np.float64(0.95))
    whole["args"]["task"] = "classification"
    path = saved(tmp_path / "semi-metal-classification.pth.tar", whole)

    card = import_model(path, tmp_path / "staged", Wishes("metal", path.name))

    model = Resident(*load_networks(tmp_path / "staged"), torch.device("cpu"))
    value = model.answer([featurise(crystals[0], card.input)])[0].values[0]
    assert value == pytest.approx(plain_answer(whole, crystals[0]), abs=1e-5)
    assert (card.classes, card.targets[0].unit) == (("semiconductor", "metal"), "probability")
    assert card.metrics == {"val": {"auc": 0.95}}


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.int32, np.int64])
def test_single_numbers_of_numpy_are_read(tmp_path: Path, kind: type[np.number[Any]]) -> None:
    numbers = {"mean": kind(-1), "std": kind(2)}
    path = saved(tmp_path / "x", content(best_mae_error=kind(3), normalizer=numbers))

    card = import_model(path, tmp_path / "staged", ENERGY)

    assert (card.targets[0].mean, card.targets[0].std) == (-1, 2)
    assert card.metrics == {"val": {"mae": 3}}


def test_property_and_unit_are_known_from_the_published_file_name(tmp_path: Path) -> None:
    path = saved(tmp_path / "x", content())

    card = import_model(path, tmp_path / "staged", Wishes("mine", "bulk-moduli.pth.tar"))

    assert (card.targets[0].property, card.targets[0].unit) == ("bulk-modulus-log", "log10(GPa)")


def test_a_published_checkpoint_keeps_its_own_unit(tmp_path: Path) -> None:
    whole = content()
    whole["args"]["data_options"] = ["matproj.json", "regression", "bulk_moduli"]
    path = saved(tmp_path / "x", whole)

    with pytest.raises(WrongUnit, match="log10"):
        import_model(path, tmp_path / "s", Wishes("mine", property="bulk_modulus", unit="GPa"))


@pytest.mark.parametrize(
    ("wishes", "error", "words"),
    [
        (Wishes("mine"), InputError, "does not say what it predicts"),
        (Wishes("mine", property="hardness"), WrongUnit, "unit of hardness must be given"),
        (Wishes("mine", property="band-gap", unit="GPa"), WrongUnit, "no unit 'GPa'"),
        (Wishes("../mine", property="band-gap"), InputError, "no name of a model"),
        (Wishes("mine", property="<b>", unit="eV"), InputError, "no name of a property"),
    ],
)
def test_what_is_said_of_a_model_is_checked(
    tmp_path: Path, wishes: Wishes, error: type[MatpropError], words: str
) -> None:
    path = saved(tmp_path / "x", content())

    with pytest.raises(error, match=words):
        import_model(path, tmp_path / "staged", wishes)


def without(key: str) -> Callable[[Content], Any]:
    return lambda whole: {name: value for name, value in whole.items() if name != key}


def weights_with(name: str, value: Tensor | None) -> Callable[[Content], Any]:
    def change(whole: Content) -> Content:
        state = whole["state_dict"] | {name: value}
        return whole | {"state_dict": {k: v for k, v in state.items() if v is not None}}

    return change


WIDE = torch.zeros(8, 120)
BAD: list[tuple[str, Callable[[Content], Any], str]] = [
    ("weights alone", lambda whole: whole["state_dict"], "This is no checkpoint of the published"),
    ("a list", list, "This is no checkpoint"),
    ("no normaliser", without("normalizer"), "no normaliser"),
    ("no args", without("args"), "no args"),
    ("no weights", without("state_dict"), "This is no checkpoint"),
    ("another element table", weights_with("embedding.weight", WIDE), "another table of elements"),
    ("another code", weights_with("gnn.layer.weight", torch.zeros(3)), "not the weights of"),
    ("a missing weight", weights_with("fc_out.bias", None), "not the weights of"),
    ("a wrong shape", weights_with("convs.1.bn1.bias", torch.zeros(5)), "does not fit"),
    ("integers", weights_with("fc_out.bias", torch.zeros(1, dtype=torch.int64)), "no dense tensor"),
    ("sparse", weights_with("fc_out.weight", torch.zeros(1, 6).to_sparse()), "no dense tensor"),
    ("not finite", weights_with("fc_out.bias", torch.tensor([torch.nan])), "not finite"),
    ("spread", weights_with("convs.0.bn1.running_var", -torch.ones(16)), "negative variances"),
    ("a flood", weights_with("embedding.weight", torch.zeros(1).expand(10**9, 92)), "of bounds"),
    (
        "a scaling by nothing",
        lambda whole: whole | {"normalizer": {"mean": 0.0, "std": 0.0}},
        "normaliser is of no use",
    ),
    (
        "sizes that lie",
        lambda whole: whole | {"args": whole["args"] | {"n_conv": 10**9}},
        "args and the weights disagree on n_conv",
    ),
    (
        "a wrong task",
        lambda whole: whole | {"args": whole["args"] | {"task": "classification"}},
        "do not fit its task",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("change", "words"), [each[1:] for each in BAD], ids=[b[0] for b in BAD])
def test_a_bad_checkpoint_is_told_why(
    tmp_path: Path, change: Callable[[Content], Any], words: str
) -> None:
    path = saved(tmp_path / "bad.pth.tar", change(content()))

    with pytest.raises(BadCheckpoint, match=words):
        import_model(path, tmp_path / "staged", ENERGY)

    assert not (tmp_path / "staged").exists()


def test_other_edge_features_are_told(tmp_path: Path) -> None:
    path = saved(tmp_path / "bad", content(Layout(8, 2, 31, 6, 1, 1)))

    with pytest.raises(BadCheckpoint, match="another expansion of distances"):
        import_model(path, tmp_path / "staged", ENERGY)


class Trap:
    """Would write a file when unpickled."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return Path.write_text, (self.canary, "sprung")


@pytest.mark.parametrize("kind", ["pickle", "zip", "old"])
def test_pickled_code_never_runs(tmp_path: Path, kind: str) -> None:
    path, canary = tmp_path / "trap.pth.tar", tmp_path / "canary"
    trap = content(args=Trap(canary))
    if kind == "pickle":
        path.write_bytes(pickle.dumps(trap))
    else:
        saved(path, trap, _use_new_zipfile_serialization=kind == "zip")

    with pytest.raises(BadCheckpoint):
        import_model(path, tmp_path / "staged", ENERGY)

    assert not canary.exists()


@pytest.mark.parametrize(
    "data", [b"", b"hello", b"PK\x03\x04" + bytes(40), b"\x80\x02" + bytes(99)]
)
def test_a_file_of_another_kind_is_told(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "bad.pth.tar"
    path.write_bytes(data)

    with pytest.raises(BadCheckpoint):
        import_model(path, tmp_path / "staged", ENERGY)


def test_a_damaged_checkpoint_is_told(tmp_path: Path) -> None:
    whole = saved(tmp_path / "whole", content()).read_bytes()
    chance = np.random.default_rng(0)
    for at in range(40):
        data = bytearray(whole[: chance.integers(1, len(whole))] if at % 2 else whole)
        for place in chance.integers(0, len(data), 20):
            data[place] = chance.integers(256)
        path = tmp_path / "damaged"
        path.write_bytes(data)
        try:
            import_model(path, tmp_path / f"staged{at}", ENERGY)
        except BadCheckpoint:
            continue


def test_a_compressed_zip_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "bomb.pth.tar"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb/data.pkl", bytes(10_000_000))

    with pytest.raises(BadCheckpoint, match="compressed"):
        import_model(path, tmp_path / "staged", ENERGY)


@pytest.mark.parametrize("as_folder", [True, False])
def test_an_exported_model_comes_back_the_same(tmp_path: Path, as_folder: bool) -> None:
    first = import_model(saved(tmp_path / "x", content()), tmp_path / "first", ENERGY)
    path = tmp_path / "first"
    if not as_folder:
        path = tmp_path / "model.zip"
        path.write_bytes(exported(tmp_path / "first"))

    again = import_model(path, tmp_path / "again", Wishes("other"))

    assert again.name == "other"
    assert again.targets == first.targets
    assert again.weights_sha256 == first.weights_sha256
    load_networks(tmp_path / "again")


def test_an_exported_model_with_a_bomb_inside_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("card.json", bytes(50_000_000))
        archive.writestr("weights.safetensors", b"")

    with pytest.raises(BadCheckpoint, match="too large"):
        import_model(path, tmp_path / "staged", ENERGY)


def run(*arguments: object) -> tuple[int, dict[str, Any]]:
    command = [sys.executable, "-m", "models.published", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, check=False)
    return done.returncode, json.loads(done.stdout)


def test_the_command_prints_the_card_or_the_error(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.pth.tar", content())

    wishes = ("--name", "gap", "--property", "band-gap")
    code, card = run(path, tmp_path / "staged", *wishes)
    wrong, error = run(path, tmp_path / "wrong", *wishes, "--unit", "GPa")

    assert (code, card["name"], card["targets"][0]["unit"]) == (0, "gap", "eV")
    assert (wrong, error["code"], error["expected"]) == (1, "wrong_unit", "eV or meV")
