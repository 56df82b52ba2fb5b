"""Data sets from the bytes that were sent to the folder that trainings read."""

import gzip
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from models.datasets.stored import Stored
from models.errors import UnknownDataset
from tests.archives import tarred, zipped
from workers.contract import DatasetOrder, Queue, Task
from workers.files import Files
from workers.gathering import Gatherer
from workers.ids import set_of
from workers.jobs import Job, Jobs, NewJob, Status, new_id
from workers.limited import Bounds
from workers.metrics import Tally
from workers.owning import Holder
from workers.pack import PackWriter
from workers.parser import Parser
from workers.pulse import Pulse
from workers.settings import WorkerSettings
from workers.shelf import Shelf
from workers.stopping import Stopping

POSCAR = "c\n{a}\n1 0 0\n0 1 0\n0 0 1\nCs Cl\n1 1\nDirect\n0 0 0\n.5 .5 .5\n"
ARRAYS = {"numbers": [55, 17], "frac_coords": [0, 0, 0, 0.5, 0.5, 0.5]}
OVERLAP = {"numbers": [55, 17], "frac_coords": [0, 0, 0, 0, 0, 0.01]}


def cubic(a: float) -> list[float]:
    return [a, 0, 0, 0, a, 0, 0, 0, a]


def row(number: int, **more: object) -> dict[str, object]:
    return {"id": f"x-{number}", "lattice": cubic(4 + number / 10), **ARRAYS, **more}


def jsonl(*rows: object) -> bytes:
    lines = [one if isinstance(one, str) else json.dumps(one) for one in rows]
    return "\n".join(lines).encode() + b"\n"


def cif(a: float) -> str:
    return (
        "data_x\n_symmetry_space_group_name_H-M 'P 1'\n"
        + "".join(f"_cell_length_{edge} {a}\n" for edge in "abc")
        + "".join(f"_cell_angle_{angle} 90\n" for angle in ("alpha", "beta", "gamma"))
        + "loop_\n_atom_site_label\n_atom_site_type_symbol\n_atom_site_fract_x\n_atom_site_fract_y\n"
        "_atom_site_fract_z\nCs1 Cs 0 0 0\nCl1 Cl 0.5 0.5 0.5\n"
    )


class Desk:
    """Runs data set jobs."""

    def __init__(self, jobs: Jobs, state: Path) -> None:
        self.jobs = jobs
        self.files = Files(state)
        self.shelf = Shelf(self.files)
        self.gatherer = Gatherer(self.files, Parser(), Bounds(cpu_s=60, wall_s=60.0))
        tally = Tally()
        self.holder = Holder(jobs, Pulse(jobs, Queue.PARSE, "p.1", tally), Stopping(), 5, tally)

    def submit(self, sent_as: str, data: bytes, owner: str = "me", **order: object) -> str:
        job = new_id("job")
        path = self.files.upload(job)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            pack = PackWriter(file)
            pack.begin(sent_as)
            pack.write(data)
            pack.end()
            pack.close()
        body = DatasetOrder(**{"name": "some", **order}).model_dump_json()
        assert self.jobs.submit(NewJob(id=job, kind=Task.DATASET, order=body, owner=owner))
        return job

    def run(self, sent_as: str, data: bytes, owner: str = "me", **order: object) -> Job:
        job = self.submit(sent_as, data, owner, **order)
        assert self.holder.run(job, self.gatherer.run)
        found = self.jobs.get(job)
        assert found is not None
        return found

    def held(self, sent_as: str, data: bytes, **order: object) -> Stored:
        job = self.run(sent_as, data, **order)
        assert job.status is Status.SUCCEEDED, job.error
        return Stored(self.files.dataset(set_of(job.id)))

    def report(self, held: Stored) -> list[dict[str, object]]:
        lines = (held.folder / "refused.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]


@pytest.fixture
def desk(jobs: Jobs, settings: WorkerSettings) -> Iterator[Desk]:
    found = Desk(jobs, settings.state)
    yield found
    found.gatherer.reader.close()


# -- layouts ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "table",
    [
        "a,-1.5\nb,2\nc,0.25\n",
        "\ufeffid,value\r\na,-1.5\r\nb,2\r\nc,0.25\r\n",
        " a.cif , -1.5\nb.cif,2\n\nc.cif,0.25",
        "material_id;value\na;-1.5\nb;2\nc;0.25\n",
    ],
)
def test_a_zip_with_a_table_as_the_published_code_has_it(desk: Desk, table: str) -> None:
    members = {f"data/{name}.cif": cif(4 + at / 10) for at, name in enumerate("abc")}
    held = desk.held(
        "d.zip", zipped(members | {"data/id_prop.csv": table, "data/atom_init.json": "{}"})
    )
    assert held.names == ["a", "b", "c"]
    assert held.scalars("value") == [-1.5, 2.0, 0.25]
    assert any("atom_init.json" in note for note in held.manifest["notes"])


def test_a_table_with_several_columns_and_files_of_several_kinds(desk: Desk) -> None:
    table = "name,gap,phase\na,1,cubic\nb,,\nc,nan,tetragonal\n"
    members = {"a.cif": cif(4), "b.vasp": POSCAR.format(a=4.2), "c/POSCAR": POSCAR.format(a=4.3)}
    held = desk.held("d.zip", zipped(members | {"id_prop.csv": table, "README.md": "x"}))
    assert held.scalars("gap") == [1.0, None, None]
    assert held.scalars("phase") == ["cubic", None, "tetragonal"]


def test_missing_files_and_missing_lines_are_named(desk: Desk) -> None:
    members = {"a.cif": cif(4), "b.cif": cif(4.1), "id_prop.csv": "a,1\nc,2\na,3\n"}
    held = desk.held("d.zip", zipped(members), good_share=0.1)
    said = {(one["row"], one["name"]): one["error"]["detail"] for one in desk.report(held)}
    assert "not listed" in said[2, "b"]
    assert "no file" in said[2, "c"]
    assert "listed twice" in said[3, "a"]
    assert held.scalars("value") == [1.0]


def test_a_tar_is_read_like_a_zip(desk: Desk) -> None:
    data = gzip.compress(tarred({"a.cif": cif(4), "id_prop.csv": "a,1\n"}))
    assert desk.held("d.tar.gz", data).scalars("value") == [1.0]


def test_json_lines_hold_structures_in_many_forms(desk: Desk) -> None:
    from pymatgen.core import Lattice, Structure

    crystal = Structure(Lattice.cubic(4), ["Cs", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    crystal.add_site_property("magmom", [1.5, -0.5])
    matrix = [[4, 0, 0], [0, 4, 0], [0, 0, 4]]
    sites = {"cartesian_site_positions": [[0, 0, 0], [2, 2, 2]], "species_at_sites": ["Cs", "Cl"]}
    rows = [
        {"structure": crystal.as_dict(), "y": 1},
        crystal.as_dict() | {"y": 2},
        {"cif": cif(4), "y": 3},
        {"structure": POSCAR.format(a=4), "y": 4},
        {"attributes": {"lattice_vectors": matrix, **sites, "y": 5}},
        {"lattice": cubic(4), **ARRAYS, "y": 6},
        {"cell": matrix, "symbols": ["Cs", "Cl"], "positions": [[0, 0, 0], [2, 2, 2]], "y": 7},
        {"atoms": {"lattice_mat": matrix, "coords": [[0, 0, 0], [0.5, 0.5, 0.5]],
                   "elements": ["Cs", "Cl"], "cartesian": False}, "y": 8},
    ]  # fmt: skip
    held = desk.held("d.jsonl", jsonl(*rows))
    assert held.scalars("y") == [1, 2, 3, 4, 5, 6, 7, 8]
    for at in range(8):
        assert held.structure(at).numbers.tolist() == [55, 17]
        assert np.allclose(held.structure(at).lattice, np.eye(3) * 4)
        assert np.allclose(held.structure(at).fractional[1], 0.5)
    assert held.ragged("magmom")[0].tolist() == [1.5, -0.5, 1.5, -0.5]


def test_columns_are_of_the_kind_that_their_values_are(desk: Desk) -> None:
    big = {"lattice": cubic(5), "numbers": [55, 17, 8],
           "frac_coords": [0, 0, 0, 0.5, 0.5, 0.5, 0.5, 0.5, 0]}  # fmt: skip
    rows = [
        row(1, gap=1.5, metal=True, phase="a", charge=[1, None], force=[[1, 2, 3], [4, 5, 6]], at=[1, 2]),
        big | {"gap": None, "metal": False, "phase": "", "charge": [1, 2, 3],
               "force": [[0, 0, 0]] * 3, "at": [3, 4], "odd": {"x": 1}},
    ]  # fmt: skip
    held = desk.held("d.jsonl", jsonl(*rows))
    kinds = {name: (one.kind, one.width) for name, one in held.columns.items()}
    assert kinds == {
        "gap": ("number", None), "metal": ("number", None), "phase": ("text", None),
        "charge": ("site", 1), "force": ("site", 3), "at": ("list", 2),
    }  # fmt: skip
    assert held.scalars("metal") == [1.0, 0.0]
    assert np.isnan(held.ragged("charge")[0][1])
    assert any("odd" in note for note in held.manifest["notes"])


def test_frames_bring_their_comment_and_their_columns(desk: Desk) -> None:
    frame = (
        '2\nLattice="4 0 0 0 4 0 0 0 4" Properties=species:S:1:pos:R:3:forces:R:3:charges:R:1:tag:S:1 '
        'energy={e} stress="1 2 3 4 5 6" config_type=bulk pbc="T T T"\n'
        "Cs 0 0 0 1 2 3 0.5 x\nCl 2 2 2 4 5 6 -0.5 y\n"
    )
    held = desk.held("d.extxyz", (frame.replace("{e}", "-1") + frame.replace("{e}", "-2")).encode())
    assert held.scalars("energy") == [-1.0, -2.0]
    assert held.scalars("config_type") == ["bulk", "bulk"]
    assert (held.columns["forces"].kind, held.columns["forces"].width) == ("site", 3)
    assert held.ragged("charges")[0].tolist() == [0.5, -0.5, 0.5, -0.5]
    assert held.columns["stress"].kind == "list"


def parquet(**columns: list[object]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    out = io.BytesIO()
    pq.write_table(pa.table(columns), out)
    return out.getvalue()


def test_parquet_and_json_lines_of_the_same_rows_are_the_same_set(desk: Desk) -> None:
    rows = [row(number, y=number / 4, q=[0.5, -0.5]) for number in range(4)]
    table = parquet(**{key: [one[key] for one in rows] for key in rows[0]})
    first, second = desk.held("a.parquet", table), desk.held("a.jsonl", jsonl(*rows), name="other")
    assert first.manifest["sha256"] == second.manifest["sha256"]
    assert first.manifest["elements"] == {"Cl": 4, "Cs": 4}


def test_another_column_can_hold_the_coordinates(desk: Desk) -> None:
    rows = [row(1, y=1, start=[0.1, 0, 0, 0.5, 0.5, 0.4])]
    held = desk.held("a.jsonl", jsonl(*rows), coordinates="start")
    assert held.structure(0).fractional[0, 0] == 0.1
    assert "frac_coords" in held.columns


def test_rows_with_whole_structures_have_no_use_for_a_column_of_coordinates(desk: Desk) -> None:
    start, whole = row(1, start=[0.1, 0, 0, 0.5, 0.5, 0.4]), {"cif": cif(4), "start": [0.2, 0, 0]}
    held = desk.held("a.jsonl", jsonl(start, whole), coordinates="start")
    note = "Rows of whole structures keep their own coordinates: 1 of 2."
    assert note in held.manifest["notes"]
    error = desk.run("b.jsonl", jsonl(whole), coordinates="start").error
    assert error is not None
    assert (error["code"], error["place"], error["hint"]) == (
        "bad_dataset", "coordinates", "Leave `coordinates` out."
    )  # fmt: skip


def test_a_table_of_texts_can_hold_structures(desk: Desk) -> None:
    held = desk.held("a.csv", f'id,cif,y,q\na,"{cif(4)}",1,"[1, 2]"\nb,"{cif(4.1)}",2,\n'.encode())
    assert held.names == ["a", "b"]
    assert held.scalars("y") == [1.0, 2.0]
    assert held.columns["q"].kind == "site"


@pytest.mark.parametrize(
    ("name", "packed"),
    [
        ("a.jsonl.gz", gzip.compress),
        ("a.zip", lambda data: zipped({"folder/rows.jsonl": data})),
    ],
)
def test_one_packed_file_of_rows_is_read_like_the_file(
    desk: Desk, name: str, packed: Callable[[bytes], bytes]
) -> None:
    held = desk.held(name, packed(jsonl(row(1, y=1), row(1, y=2))))
    assert held.scalars("y") == [1.0, 2.0]
    assert "1 row has the id of a row before." in held.manifest["notes"]


def test_a_table_as_pandas_splits_it(desk: Desk) -> None:
    inner = {"lattice": cubic(4), **ARRAYS}
    body = {"index": [0], "columns": ["structure", "gap"], "data": [[inner, 1.5]]}
    assert desk.held("a.json", json.dumps(body).encode()).scalars("gap") == [1.5]


# -- bad rows --------------------------------------------------------------------------------------


def test_a_bad_row_is_named_and_harms_no_other(desk: Desk) -> None:
    rows = [
        row(1, y=1, q=[1, 2]),
        "{ no json",
        row(3, y=3, q=[1, 2], numbers=OVERLAP["numbers"]) | OVERLAP,
        row(4, y="much", q=[1, 2]),
        row(5, y=5, q=[1, 2, 3]),
        "[1]",
        row(7, y=1e999, q=[1, 2]),
        row(8, y=8, q=[1, 2]),
        {"id": "x-9", "y": 9},
        row(10, y=10, q=[1, float("nan")]),
    ]
    held = desk.held("a.jsonl", jsonl(*rows), good_share=0.2)
    assert held.names == ["x-1", "x-8", "x-10"]
    assert held.scalars("y") == [1.0, 8.0, 10.0]
    report = desk.report(held)
    assert [one["row"] for one in report] == [2, 3, 4, 5, 6, 7, 9]
    assert [one["name"] for one in report][1:4] == ["x-3", "x-4", "x-5"]
    assert report[1]["error"]["code"] == "impossible_geometry"
    assert report[3]["error"]["place"] == "q"
    assert "2 numbers" in report[3]["error"]["expected"]


def test_too_few_good_rows_make_no_set_but_leave_a_report(desk: Desk) -> None:
    rows = [row(number, y=number) for number in range(8)] + [{"id": f"b-{n}"} for n in range(40)]
    job = desk.run("a.jsonl", jsonl(*rows))
    assert job.status is Status.FAILED
    assert job.error is not None
    assert (job.error["code"], job.failed, job.total) == ("bad_dataset", 40, 48)
    assert len(job.error["errors"]) == 20
    assert job.error["errors"][0]["file"] == "b-0"
    assert len(desk.files.result(job.id).read_text().splitlines()) == 40
    assert not desk.files.dataset(set_of(job.id)).exists()


def test_labels_of_another_kind_than_most_are_bad_and_mixed_ones_are_text(desk: Desk) -> None:
    rows = [row(n, mixed=n if n % 2 else f"t{n}") for n in range(4)]
    assert desk.held("a.jsonl", jsonl(*rows)).scalars("mixed") == ["t0", "1", "t2", "3"]


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        ("a.jsonl", b"\n\n \n", "empty"),
        ("a.jsonl", jsonl(row(1)), "no labels"),
        ("a.zip", zipped({"a.cif": cif(4)}), "no labels"),
        ("a.zip", zipped({"notes.txt": "x"}), "empty"),
        ("a.cif", cif(4).encode(), "single structure"),
        ("a.csv", b"id,y\na,1\n", "no column of structures"),
        ("a.csv", b"cif" + b",y" * 1_000_000 + b"\n", "columns"),
        ("a.jsonl", jsonl(row(1, **{f"y{n}": 1 for n in range(600)})), "columns"),
        ("a.parquet", b"PAR1" + b"\xff" * 100 + b"PAR1", "cannot be read"),
        ("a.zip", zipped({"a.csv": "a,1", "b.csv": "a,1", "a.cif": cif(4)}), "several tables"),
        ("a.json", b"[" * 100_000, "broken"),
        ("a.zip", zipped({"id_prop.csv": "a,1\n", "a.cif": b" " * 30_000_000}), "grows"),
    ],
)  # fmt: skip
def test_what_is_no_data_set_says_so(desk: Desk, name: str, data: bytes, expected: str) -> None:
    job = desk.run(name, data)
    assert job.status is Status.FAILED
    assert job.error is not None
    assert expected in job.error["detail"] + job.error.get("got", "")
    assert job.error["code"] in ("bad_dataset", "empty_input", "bad_archive")


def test_a_parquet_that_lies_of_its_rows_is_refused(desk: Desk) -> None:
    whole = parquet(id=["a"] * 50, lattice=[cubic(4)] * 50, numbers=[[55, 17]] * 50)
    broken = bytearray(whole)
    broken[len(whole) // 4 : len(whole) // 2] = bytes(len(whole) // 2 - len(whole) // 4)
    job = desk.run("a.parquet", bytes(broken))
    assert job.status is Status.FAILED
    assert job.error is not None
    assert job.error["code"] == "bad_dataset"


def test_a_small_parquet_cannot_fill_the_disk(desk: Desk) -> None:
    pa = pytest.importorskip("pyarrow")
    same = pa.DictionaryArray.from_arrays(pa.array([0] * 2_000, pa.int32()), ["x\n" * 250_000])
    out = io.BytesIO()
    pytest.importorskip("pyarrow.parquet").write_table(pa.table({"cif": same}), out)
    job = desk.run("d.parquet", out.getvalue())
    assert job.error is not None
    assert job.error["code"] == "too_large"


def test_a_reader_that_takes_too_much_is_ended(desk: Desk) -> None:
    desk.gatherer = Gatherer(desk.files, desk.gatherer.reader, Bounds(memory_bytes=150_000_000))
    job = desk.run("a.json", json.dumps([row(1, y=[0.0] * 90_000)] * 60).encode())
    assert job.error is not None
    assert "more memory, time or room" in job.error["detail"]


def test_columns_that_are_not_asked_for_stay_out(desk: Desk) -> None:
    held = desk.held("a.jsonl", jsonl(row(1, y=1, z=2)), columns=("y",))
    assert list(held.columns) == ["y"]
    job = desk.run("a.jsonl", jsonl(row(1, y=1)), columns=("w",))
    assert job.error is not None
    assert "no column w" in job.error["detail"]


# -- the shelf -------------------------------------------------------------------------------------


def answer(desk: Desk, job: Job) -> str:
    found: str = json.loads(desk.files.result(job.id).read_text())["dataset"]
    return found


def test_the_same_rows_under_the_same_name_are_one_set(desk: Desk) -> None:
    data = jsonl(row(1, y=1), row(2, y=2))
    first, again = desk.run("a.jsonl", data), desk.run("b.jsonl", data)
    assert answer(desk, again) == answer(desk, first) == set_of(first.id)
    assert answer(desk, desk.run("a.jsonl", data, name="other")) != set_of(first.id)
    assert answer(desk, desk.run("a.jsonl", data, owner="you")) != set_of(first.id)


def test_a_set_is_found_by_id_and_the_newest_by_name_and_foreign_ones_are_not(desk: Desk) -> None:
    old, new = (desk.run("a.jsonl", jsonl(row(number, y=1))) for number in (1, 2))
    assert desk.shelf.get("some", "me").id == set_of(new.id)
    assert desk.shelf.get(set_of(old.id), "me").id == set_of(old.id)
    with pytest.raises(UnknownDataset):
        desk.shelf.get(set_of(old.id), "you")
    page = desk.shelf.page("me", limit=1)
    assert [one.id for one in page.sets] == [set_of(new.id)]
    assert [one.id for one in desk.shelf.page("me", before=page.cursor).sets] == [set_of(old.id)]


def test_a_removed_set_is_gone(desk: Desk) -> None:
    job = desk.run("a.jsonl", jsonl(row(1, y=1)))
    columns = desk.shelf.columns(set_of(job.id))
    assert columns["y"] == [1.0]
    assert {"name", "formula", "n_sites", "y"} <= set(columns)
    assert "z" not in columns
    desk.shelf.remove(set_of(job.id))
    with pytest.raises(UnknownDataset):
        desk.shelf.get("some", "me")
    assert list((desk.files.state / "scratch").iterdir()) == []


def test_a_second_attempt_makes_no_second_set(desk: Desk) -> None:
    from workers.owning import Hold

    job = desk.submit("a.jsonl", jsonl(row(1, y=1)))
    claim = desk.jobs.claim(job, "first")
    assert claim is not None
    with desk.holder.pulse.holding(claim) as grip:
        desk.gatherer.run(Hold(desk.holder, grip))  # and is killed before it can finish
    desk.jobs.release(claim)
    assert desk.holder.run(job, desk.gatherer.run)
    assert [one.id for one in desk.shelf.page("me").sets] == [set_of(job)]


def test_a_cancelled_job_leaves_nothing(desk: Desk) -> None:
    job = desk.submit("a.jsonl", jsonl(*(row(1, y=n) for n in range(300))))
    claim = desk.jobs.claim(job, "first")
    assert claim is not None
    desk.jobs.cancel(job)
    from workers.owning import Hold, Stopped

    with desk.holder.pulse.holding(claim) as grip, pytest.raises(Stopped):
        desk.gatherer.run(Hold(desk.holder, grip))
    assert not desk.shelf.page("me").sets
    assert list((desk.files.state / "scratch").iterdir()) == []
