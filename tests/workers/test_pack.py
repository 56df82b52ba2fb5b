import io

import pytest

from workers.pack import PackWriter, read_pack


def test_a_pack_gives_back_what_was_put_in_order(tmp_path):
    path = tmp_path / "pack"
    with path.open("wb") as file:
        pack = PackWriter(file)
        pack.begin("a.cif", "cif")
        pack.write(b"one ")
        assert pack.write(b"two") == 7
        pack.end()
        pack.begin("huge.cif")
        pack.write(b"x" * 100_000)
        pack.drop({"code": "too_large", "detail": "…"})
        pack.begin("empty")
        pack.end()
        assert pack.count == 3
        pack.close()
    entries = list(read_pack(path))
    assert [(entry.index, entry.name, entry.format, entry.data) for entry in entries] == [
        (0, "a.cif", "cif", b"one two"),
        (1, "huge.cif", None, b""),
        (2, "empty", None, b""),
    ]
    assert entries[1].error == {"code": "too_large", "detail": "…"}
    assert path.stat().st_size < 1000


def test_a_pack_cut_short_is_no_pack(tmp_path):
    path = tmp_path / "pack"
    file = io.BytesIO()
    pack = PackWriter(file)
    pack.begin("a")
    pack.write(b"data")
    pack.end()
    pack.close()
    for length in (1, 10, len(file.getvalue()) - 1):
        path.write_bytes(file.getvalue()[:length])
        with pytest.raises(ValueError, match="pack"):
            list(read_pack(path))


def test_a_pack_with_an_open_entry_cannot_be_closed():
    pack = PackWriter(io.BytesIO())
    pack.begin("a")
    with pytest.raises(ValueError, match="open"):
        pack.close()
    with pytest.raises(ValueError, match="open"):
        pack.begin("b")
