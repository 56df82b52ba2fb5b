"""The arrow service → workers → models, proved by source and by running."""

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROOMS = ("service", "workers", "models")

# What the service may know of the other rooms: modules that load with neither numpy nor torch.
LIGHT = {
    "workers.address",
    "workers.broker",
    "workers.checkup.broker",
    "workers.checkup.finding",
    "workers.checkup.machine",
    "workers.columns",
    "workers.contract",
    "workers.embedded",
    "workers.figures",
    "workers.files",
    "workers.ids",
    "workers.guardian",
    "workers.jobs",
    "workers.logs",
    "workers.machine",
    "workers.metrics",
    "workers.pack",
    "workers.registering",
    "workers.settings",
    "workers.shelf",
    "workers.store",
    "workers.versions",
    "workers.supervisor",
    "workers.tracing",
    "models.card",
    "models.catalogue",
    "models.errors",
    "models.properties",
    "models.datasets.labels",
    "models.datasets.manifest",
    "models.families.kinds",
    "models.figures.drawing",
    "models.figures.kept",
    "models.figures.told",
    "models.families.recipes",
    "models.settings.frozen",
    "models.settings.graph",
    "models.settings.image",
    "models.settings.network",
    "models.settings.slab",
    "models.settings.training",
    "models.structures.bounds",
    "models.structures.composition",
    "models.structures.formats",
    "models.training.checks",
    "models.training.plan",
    "models.trust.told",
}


def sources(room: str) -> list[Path]:
    return sorted((ROOT / room).rglob("*.py"))


def imported(path: Path) -> set[str]:
    """Every module of our rooms that a file names in an import, also inside functions."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide the room"
            module = node.module or ""
            names.update(
                f"{module}.{alias.name}" if is_module(f"{module}.{alias.name}") else module
                for alias in node.names
            )
    return {name for name in names if name.split(".")[0] in ROOMS}


def is_module(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))
    return path.with_suffix(".py").exists() or path.is_dir()


def test_models_import_neither_workers_nor_service() -> None:
    for path in sources("models"):
        assert {name.split(".")[0] for name in imported(path)} <= {"models"}, path


def test_workers_do_not_import_the_service() -> None:
    for path in sources("workers"):
        assert "service" not in {name.split(".")[0] for name in imported(path)}, path


def test_the_service_imports_light_modules_only() -> None:
    for path in sources("service"):
        others = {name for name in imported(path) if not name.startswith("service")}
        assert others <= LIGHT, f"{path}: {others - LIGHT}"


def run(program: str) -> str:
    done = subprocess.run(
        [sys.executable, "-P", "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_the_service_loads_brings_no_numbers() -> None:
    loaded = sorted(LIGHT | {"service.app", "service.client", "service.cli.main"})
    program = f"""
import importlib, sys
for module in {loaded}:
    importlib.import_module(module)
    print(module, *({{'torch', 'numpy', 'pymatgen', 'scipy', 'gemmi'}} & set(sys.modules)))
"""
    assert run(program).splitlines() == loaded


def test_the_numeric_part_runs_with_torch_and_numpy_alone() -> None:
    blocker = """
import sys
class Bare:
    banned = ("pydantic", "pymatgen", "scipy", "gemmi", "msgpack", "safetensors", "celery", "redis")
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in self.banned:
            raise ImportError(f"not on a bare machine: {name}")
sys.meta_path.insert(0, Bare())
import models.datasets.stored, models.graphs.collate, models.infer, models.networks.crystal, models.training.loop
import benchmarks.gpu
"""
    run(blocker)


def test_networks_are_made_without_torchs_compiler() -> None:
    """It takes two seconds and seventy megabytes of every worker and every training."""
    program = """
import sys
from typing import get_args
from models.catalogue import RELEASED
from models.checkpoint import load_networks
from models.families.family import sketch
from models.families.kinds import KINDS
from models.families.recipes import RecipeName, resolved
from models.settings.image import ImageSettings, Representation
for card in RELEASED.glob("*/*/card.json"):
    load_networks(card.parent)
for name in KINDS:
    for recipe in get_args(RecipeName):
        sketch(name, resolved(name, recipe, {}, targets=1, classifies=False).network)
for drawn in get_args(Representation):
    sketch("image", KINDS["image"].network(image=ImageSettings(representation=drawn)))
print(*({"sympy", "torch._dynamo"} & set(sys.modules)))
"""
    assert run(program).strip() == ""


def test_every_package_file_is_one_docstring() -> None:
    for room in ROOMS:
        for path in (ROOT / room).rglob("__init__.py"):
            body = ast.parse(path.read_text()).body
            assert len(body) == 1, path
            assert ast.get_docstring(ast.parse(path.read_text())), path


def test_no_room_has_a_lumber_box() -> None:
    lumber = {"utils", "helpers", "common", "misc", "core", "base", "manager"}
    for room in ROOMS:
        assert not lumber & {path.stem for path in (ROOT / room).rglob("*.py")}
