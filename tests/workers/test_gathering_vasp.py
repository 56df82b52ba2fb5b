"""Data sets of what VASP leaves in its folders."""

import gzip

import pytest

from tests.archives import tarred, zipped
from tests.workers.test_gathering import POSCAR, Desk, desk

__all__ = ["desk"]

START, END = POSCAR.format(a=4), POSCAR.format(a=5)


def test_the_relaxed_structure_is_taken_unless_the_table_names_the_other(desk: Desk) -> None:
    files = {"1/POSCAR": START, "1/CONTCAR": END, "2/CONTCAR": END, "2/POSCAR": START,
             "3/POSCAR": START, "3/CHGCAR": END, "3/XDATCAR": END, "4/CONTCAR": END, "4/POSCAR": START}  # fmt: skip
    table = "1,0.1\n2,0.2\n3,0.3\n4/POSCAR,0.4\n"
    held = desk.held("d.zip", zipped(files | {"id_prop.csv": table}))
    assert held.names == ["1", "2", "3", "4/POSCAR"]
    assert [held.structure(at).lattice[0, 0] for at in range(4)] == [5, 5, 4, 4]
    assert held.manifest["refused"] == 0
    assert any("otherwise CONTCAR" in note for note in held.manifest["notes"])


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("d.tgz", gzip.compress(tarred({"./1/POSCAR": START, "./1/CONTCAR": END, "./id_prop.csv": "1,0.5\n"}))),
        ("d.zip", zipped({"1/POSCAR": START, "1/CONTCAR.gz": gzip.compress(END.encode()),
                          "id_prop.csv": "1,0.5\n"})),
    ],
    ids=["tar of a folder", "one of them packed"],
)  # fmt: skip
def test_the_relaxed_structure_is_known_however_its_path_is_written(
    desk: Desk, name: str, data: bytes
) -> None:
    held = desk.held(name, data, good_share=1.0)
    assert (held.scalars("value"), held.structure(0).lattice[0, 0]) == ([0.5], 5)


@pytest.mark.parametrize("contcar", ["1/CONTCAR", "1/CONTCAR.gz"])
def test_an_empty_contcar_leaves_the_poscar(desk: Desk, contcar: str) -> None:
    empty = gzip.compress(b"") if contcar.endswith("gz") else b""
    files = {"1/POSCAR": START, contcar: empty, "id_prop.csv": "1,0.5\n"}
    held = desk.held("d.zip", zipped(files), good_share=1.0)
    assert (held.scalars("value"), held.structure(0).lattice[0, 0]) == ([0.5], 4)


@pytest.mark.parametrize("table", ["1/XDATCAR,1\n2/XDATCAR,2\n", "POT,1\nNaCl,2\n"])
def test_what_the_table_names_is_read_whatever_it_is_called(desk: Desk, table: str) -> None:
    names = [line.partition(",")[0] for line in table.splitlines()]
    files = dict.fromkeys(names, START)
    held = desk.held("d.zip", zipped(files | {"id_prop.csv": table}), good_share=1.0)
    assert (held.names, held.scalars("value")) == (names, [1.0, 2.0])
