import gzip
import io
import random
import stat
import struct
import tarfile
import zipfile
import zlib

import pytest
import zstandard

from models.errors import TooLarge
from models.structures import bounds
from models.structures.archive import Most, contents
from models.structures.formats import Format
from tests.archives import tarred, zipped


@pytest.fixture
def text(cif) -> bytes:
    return cif().encode()


@pytest.mark.parametrize(
    ("name", "pack"),
    [
        ("s.zip", zipped),
        ("s.zip", lambda members: zipped(members, zipfile.ZIP_STORED)),
        ("s.tar", tarred),
        ("s.tar.gz", lambda members: gzip.compress(tarred(members))),
        ("s.tgz", lambda members: gzip.compress(tarred(members))),
        ("s.tar.zst", lambda members: zstandard.compress(tarred(members))),
        ("upload", zipped),
        ("upload", lambda members: gzip.compress(tarred(members))),
    ],
)
def test_members_are_read_in_order_under_the_archives_name(read, text, name, pack):
    found = read(pack({"b.cif": text, "d/a.cif": text}), name)
    assert [item.name for item in found] == [f"{name}/b.cif", f"{name}/d/a.cif"]
    assert all(len(item.numbers) == 2 for item in found)


@pytest.mark.parametrize(
    ("name", "pack"), [("a.cif.gz", gzip.compress), ("a.cif.zst", zstandard.compress)]
)
def test_a_single_compressed_file_is_read(one, text, name, pack):
    assert one(pack(text), name).name == "a.cif"


def test_files_that_lie_beside_the_structures_are_left_out(read, text):
    beside = {
        "README.md": b"hi",
        "id_prop.csv": b"a,1",
        "__MACOSX/._a.cif": b"x",
        "notes.txt": b"note",
    }
    assert [item.name for item in read(zipped({**beside, "a.cif": text}), "s.zip")] == [
        "s.zip/a.cif"
    ]


def test_an_archive_without_structures_says_what_it_holds(fault):
    error = fault(zipped({"README.md": b"hi"}), "s.zip")
    assert error.code == "empty_input"
    assert "README.md" in error.detail


def test_a_bad_member_leaves_the_others(read, text):
    found = read(zipped({"a.cif": b"%PDF-1.4", "b.cif": text}), "s.zip")
    assert [getattr(item, "code", "read") for item in found] == ["unknown_format", "read"]


def test_an_archive_in_an_archive_is_refused_for_itself(read, text):
    found = read(zipped({"a.zip": zipped({"a.cif": text}), "b.cif": text}), "s.zip")
    assert [getattr(item, "code", "read") for item in found] == ["bad_archive", "read"]


@pytest.mark.parametrize(
    "name", ["../a.cif", "/etc/a.cif", "d/../../a.cif", "C:/a.cif", "..\\a.cif", "a\x01.cif"]
)
@pytest.mark.parametrize("pack", [zipped, tarred])
def test_a_path_that_leaves_the_archive_is_refused(fault, text, name, pack):
    assert fault(pack({name: text}), "s.zip" if pack is zipped else "s.tar").code == "bad_archive"


def test_backslashes_part_folders(read, text):
    packed = zipped({"data/": b"", "data/a.cif": text, "data/README.md": b"hi"})
    found = read(packed.replace(b"data/", b"data\\"), "s.zip")
    assert [item.name for item in found] == ["s.zip/data/a.cif"]


def test_one_name_twice_is_refused_however_it_parts_folders(fault, text):
    packed = zipped({"data/a.cif": text, "data_a.cif": text}).replace(b"data_a", b"data\\a")
    assert "twice" in fault(packed, "s.zip").detail


def test_a_zip_bomb_is_refused(fault):
    assert fault(zipped({"a.cif": b" " * 100_000_000}), "s.zip").code in (
        "bad_archive",
        "too_large",
    )
    assert fault(zipped({"a.cif": b" " * 4_000_000}), "s.zip").code == "bad_archive"


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress])
def test_a_compressed_bomb_is_refused(fault, pack):
    assert fault(pack(b"\n" * 50_000_000), "a.cif.gz").code in ("bad_archive", "too_large")
    assert fault(pack(tarred({"a.cif": b" " * 4_900_000})), "a.tar.gz").code == "bad_archive"


def test_one_name_twice_is_refused(fault, text):
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("a.cif", text)
        archive.filelist.append(archive.filelist[0])
    assert fault(made.getvalue(), "s.zip").code == "bad_archive"


def test_overlapping_members_are_refused(fault, text):
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("a.cif", text)
        info = zipfile.ZipInfo("b.cif")
        first = archive.filelist[0]
        info.header_offset, info.CRC = first.header_offset, first.CRC
        info.compress_size, info.file_size = first.compress_size, first.file_size
        archive.filelist.append(info)
    assert "overlap" in fault(made.getvalue(), "s.zip").detail


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_bzip2_and_lzma_members_are_refused(fault, text, method):
    assert "method" in fault(zipped({"a.cif": text}, method), "s.zip").detail


def test_links_and_devices_are_refused(fault):
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        info = zipfile.ZipInfo("a.cif")
        info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, "/etc/passwd")
    assert "link" in fault(made.getvalue(), "s.zip").detail
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE):
        held = io.BytesIO()
        with tarfile.open(fileobj=held, mode="w") as archive:
            member = tarfile.TarInfo("a.cif")
            member.type, member.linkname = kind, "/etc/passwd"
            archive.addfile(member)
        assert "link" in fault(held.getvalue(), "s.tar").detail


def test_an_encrypted_member_is_refused(fault, text):
    data = bytearray(zipped({"a.cif": text}))
    at = data.index(b"PK\x01\x02")
    struct.pack_into("<H", data, at + 8, 1)
    assert "encrypted" in fault(bytes(data), "s.zip").detail


@pytest.mark.parametrize("cut", [10, 40, 100, -30, -5])
@pytest.mark.parametrize(
    ("name", "pack"),
    [("s.zip", zipped), ("s.tar.gz", lambda members: gzip.compress(tarred(members)))],
)
def test_a_cut_archive_is_an_error_never_an_exception(read, text, cut, name, pack):
    for item in read(pack({"a.cif": text, "b.cif": text})[:cut], name):
        assert getattr(item, "code", "read") in (
            "bad_archive",
            "read",
            "empty_input",
            "unknown_format",
        )


def test_a_member_whose_content_is_damaged_is_its_own_error(read, text):
    data = bytearray(zipped({"a.cif": text, "b.cif": text}, zipfile.ZIP_STORED))
    data[60] ^= 0xFF
    assert [getattr(item, "code", "read") for item in read(bytes(data), "s.zip")] == [
        "bad_archive",
        "read",
    ]


def test_a_header_that_lies_about_its_size_is_counted_by_what_it_gives(fault):
    packed = zlib.compressobj(9, zlib.DEFLATED, -15)
    body = packed.compress(b" " * 40_000_000) + packed.flush()
    data = bytearray(zipped({"a.cif": b"x"}))
    assert len(body) > 10_000
    at = data.index(b"PK\x01\x02")
    struct.pack_into("<I", data, at + 24, 1)
    assert fault(bytes(data[:-4]), "s.zip").code == "bad_archive"


def test_the_forced_format_is_meant_for_the_members(read, text):
    (found,) = read(zipped({"a.dat2": text}), "s.zip", "cif")
    assert len(found.numbers) == 2


@pytest.mark.parametrize(
    ("raw", "shown"),
    [("é.cif".encode(), "é.cif"), ("é.cif".encode("cp437"), "é.cif"), (b"caf\xc3.cif", "caf├.cif")],
)
def test_names_without_the_flag_for_utf8_are_read_and_are_no_overlap(read, text, raw, shown):
    # As other programs write it: the same bytes under a name of the same length, no flag, nothing between.
    plain = b"x" * len(raw)
    packed = zipped({plain.decode(): text, "z.cif": text}).replace(plain, raw)
    assert [each.name for each in read(packed, "s.zip")] == [f"s.zip/{shown}", "s.zip/z.cif"]


@pytest.mark.parametrize("pack", [zipped, tarred, lambda members: gzip.compress(tarred(members))])
def test_members_that_are_packed_alone_are_read(read, text, pack):
    found = read(
        pack({"sub/a.cif.gz": gzip.compress(text), "b.cif.zst": zstandard.compress(text)}), "s"
    )
    assert [item.name for item in found] == ["s/sub/a.cif", "s/b.cif"]
    assert all(len(item.numbers) == 2 for item in found)


@pytest.mark.parametrize(
    ("name", "data", "code"),
    [
        ("a.tar.gz", gzip.compress(tarred({"a.cif": b"data_x\n"})), "bad_archive"),
        ("a.cif.gz", gzip.compress(b"data_x\n" * 9, mtime=0)[:-9], "bad_archive"),
        ("a.cif.gz", gzip.compress(random.Random(0).randbytes(bounds.FILE_BYTES + 1)), "too_large"),
    ],
)
def test_a_packed_member_that_cannot_be_read_is_an_error_of_its_own(read, text, name, data, code):
    bad, good = read(zipped({name: data, "b.cif": text}), "s.zip")
    assert (bad.code, len(good.numbers)) == (code, 2)


def test_a_bomb_inside_an_archive_is_refused(fault):
    bomb = gzip.compress(bytes(bounds.FILE_BYTES + 1))
    assert fault(zipped({"a.cif.gz": bomb}, zipfile.ZIP_STORED), "s.zip").code == "bad_archive"


def test_packed_members_count_as_what_they_become(text):
    packed = zipped({f"{at}.cif.gz": gzip.compress(text) for at in range(9)})
    with pytest.raises(TooLarge):
        list(contents(io.BytesIO(packed), "s.zip", Format.ZIP, Most(bytes=5 * len(text))))
