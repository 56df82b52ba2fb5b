"""The two compiled modules are optional: what was built without them reads and answers the same, bit for bit."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
FILES = ROOT / "tests" / "data" / "structures" / "cif"
PROGRAM = """
import hashlib, sys
from pathlib import Path
for name in sys.argv[2:]:
    sys.modules[name] = None  # importing it fails, as where it was not built
from models.errors import InputError
from models.graphs.featurise import featurise
from models.settings.graph import GraphSettings
from models.structures.parse import ReadOptions, parse
told = hashlib.sha256()
for path in sorted(Path(sys.argv[1]).glob("*.cif")):
    for found in parse(path.read_bytes(), path.name, None, ReadOptions()):
        if isinstance(found, InputError):
            told.update(repr(found.as_dict()).encode())
            continue
        told.update(found.digest().encode())
        for settings in ({}, {"ties": "released"}, {"neighbours": "voronoi"}):
            try:
                told.update(featurise(found, GraphSettings(**settings)).pack())
            except InputError as error:
                told.update(repr(error.as_dict()).encode())
print(told.hexdigest())
"""


def told(*hidden: str) -> str:
    command = [sys.executable, "-c", PROGRAM, str(FILES), *hidden]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize("module", ["models.structures._cif", "models.structures._near"])
def test_nothing_changes_without_a_compiled_module(module: str) -> None:
    assert told(module) == told()
