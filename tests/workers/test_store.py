"""One suite for both kinds of store, and what can go wrong with a bucket."""

import os
import secrets
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from models.errors import StoreAway, StoreFull
from tests.object_store import BUCKET, ObjectStore
from workers.bucket import PART_BYTES, Bucket, Reach
from workers.cache import Cache
from workers.settings import WorkerSettings
from workers.store import Folder, Store, store_of

LARGE = os.urandom(PART_BYTES + 1000)


@pytest.fixture
def bucket(s3: ObjectStore, tmp_path: Path) -> Callable[..., Bucket]:
    """Makes stores of one bucket, each with a cache of its own."""

    def made(patience_s: float = 5.0, timeout_s: float = 2.0) -> Bucket:
        cache = Cache(tmp_path / f"cache-{secrets.token_hex(2)}", 1_000_000_000)
        return Bucket(BUCKET, "of/tests", cache, Reach(s3.url, timeout_s), patience_s=patience_s)

    return made


@pytest.fixture(params=["folder", "bucket"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "folder":
        return Folder(tmp_path / "store")
    made: Callable[..., Bucket] = request.getfixturevalue("bucket")
    return made(timeout_s=20.0)  # whose answer came too late knows not what became of it


def kept(store: Store, prefix: str = "") -> list[str]:
    return [one.key for one in store.list(prefix)]


@pytest.mark.parametrize("data", [b"", b"some", LARGE], ids=["empty", "small", "parts"])
def test_what_was_put_is_fetched_and_opened(store: Store, tmp_path: Path, data: bytes) -> None:
    (tmp_path / "file").write_bytes(data)
    store.put(tmp_path / "file", "uploads/ab/one.pack")
    assert store.fetch("uploads/ab/one.pack").read_bytes() == data
    with store.open("uploads/ab/one.pack") as file:
        assert file.seek(-min(4, len(data)), os.SEEK_END) == max(0, len(data) - 4)
        assert file.read() == data[-4:]
    assert [(one.key, one.size) for one in store.list("uploads/")] == [
        ("uploads/ab/one.pack", len(data))
    ]


def test_what_is_not_there_is_a_missing_file(store: Store) -> None:
    for ask in (store.fetch, store.read, store.open):
        with pytest.raises(FileNotFoundError):
            ask("results/none")
    store.remove(["results/none", "results/neither"])
    assert kept(store) == []


@pytest.mark.parametrize("data", [b"a few", LARGE], ids=["small", "parts"])
def test_what_is_being_written_is_seen_by_nobody(store: Store, data: bytes) -> None:
    filling = store.filling("uploads/ab/one.pack", "1")
    filling.write(data)
    assert kept(store) == []
    with pytest.raises(FileNotFoundError):
        store.read("uploads/ab/one.pack")
    filling.commit()
    filling.discard()
    assert store.read("uploads/ab/one.pack")[0] == data


@pytest.mark.parametrize("data", [b"a few", LARGE], ids=["small", "parts"])
def test_what_was_discarded_leaves_nothing(store: Store, data: bytes) -> None:
    filling = store.filling("uploads/ab/one.pack", "1")
    filling.write(data)
    filling.discard()
    assert kept(store) == []
    assert store.sweep(time.time() + 60) == 0


def test_half_written_files_of_the_killed_are_swept(store: Store) -> None:
    filling = store.filling("uploads/ab/one.pack", "1")
    filling.write(LARGE)
    assert store.sweep(time.time() + 60) == 1
    filling.discard()
    assert store.sweep(time.time() + 60) == 0
    assert kept(store) == []


def test_only_one_of_many_makes_a_new_file(store: Store) -> None:
    won: list[int] = []

    def claim(number: int) -> None:
        try:
            store.put_bytes(b"%d" % number, "models/mine/3/claim", new=True)
        except FileExistsError:
            return
        won.append(number)

    threads = [threading.Thread(target=claim, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert store.read("models/mine/3/claim")[0] == b"%d" % won[0]


def test_what_has_changed_meanwhile_is_not_written_over(store: Store) -> None:
    store.put_bytes(b"one", "models/mine/aliases.json")
    _, tag = store.read("models/mine/aliases.json")
    store.put_bytes(b"two", "models/mine/aliases.json", instead_of=tag)
    with pytest.raises(FileExistsError):
        store.put_bytes(b"three", "models/mine/aliases.json", instead_of=tag)
    assert store.read("models/mine/aliases.json")[0] == b"two"


def test_keys_are_listed_in_order_copied_and_removed(store: Store) -> None:
    for key in ("b/2", "b/10", "a/1", "bc"):
        store.put_bytes(key.encode(), key)
    assert kept(store, "b/") == ["b/10", "b/2"]
    assert kept(store) == ["a/1", "b/10", "b/2", "bc"]
    store.copy("b/2", "c/2")
    assert store.read("c/2")[0] == b"b/2"
    store.remove(["b/2", "b/10"])
    assert kept(store) == ["a/1", "bc", "c/2"]
    assert store.fetch("c/2").read_bytes() == b"b/2"


def test_a_list_of_more_than_one_page_is_whole(bucket: Callable[..., Bucket], monkeypatch) -> None:
    store = bucket()
    for number in range(5):
        store.put_bytes(b"", f"many/{number}")
    call = store.call
    monkeypatch.setattr(
        store,
        "call",
        lambda method, key, **asked: call(
            method, key, **asked, **({"MaxKeys": 2} if method == "list_objects_v2" else {})
        ),
    )
    assert kept(store) == [f"many/{number}" for number in range(5)]


def test_a_copy_serves_as_long_as_it_is_here(bucket: Callable[..., Bucket]) -> None:
    store = bucket()
    store.put_bytes(b"once", "results/one")
    first = store.fetch("results/one")
    assert first == store.root / "results/one"
    store.remove(["results/one"])
    with pytest.raises(FileNotFoundError):
        store.fetch("results/one")


def test_two_who_fetch_at_once_see_the_whole_file(bucket: Callable[..., Bucket]) -> None:
    store = bucket()
    with_bytes = store.filling("results/one", "1")
    with_bytes.write(LARGE)
    with_bytes.commit()
    found: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: found.append(store.fetch("results/one").read_bytes()))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [data == LARGE for data in found] == [True] * 3
    assert [path.name for path in store.root.glob("results/*")] == ["one"]


def test_a_cache_keeps_within_its_bound_what_was_used_last(tmp_path: Path) -> None:
    cache = Cache(tmp_path, 1000)
    for number in range(6):
        path = cache.keep(f"{number}", lambda out: out.write(b"x" * 300) and None)
        os.utime(path, (number, number))  # long ago
    cache.trim()
    assert sorted(path.name for path in tmp_path.glob("[0-9]")) == ["4", "5"]
    assert cache.get("0") is None


def test_what_was_told_just_now_stays_in_a_full_cache(tmp_path: Path) -> None:
    cache = Cache(tmp_path, 1000)
    paths = [
        cache.keep(f"{number}", lambda out: out.write(b"x" * 900) and None) for number in range(3)
    ]
    assert all(path.exists() for path in paths)


def test_a_store_that_is_away_is_waited_for(bucket: Callable[..., Bucket], s3: ObjectStore) -> None:
    store = bucket(patience_s=20.0)
    store.put_bytes(b"there", "results/one")
    with s3.away():
        threading.Timer(1.0, s3.back).start()
        assert store.fetch("results/one").read_bytes() == b"there"


def test_a_store_that_stays_away_is_an_error_soon(
    bucket: Callable[..., Bucket], s3: ObjectStore, caplog: pytest.LogCaptureFixture
) -> None:
    store = bucket(patience_s=0.5)
    with s3.away(), pytest.raises(StoreAway, match="does not answer"):
        store.put_bytes(b"", "results/one")
    assert caplog.text.count("Again in") <= 2


def test_a_refusal_is_told_at_once_and_names_no_secret(
    bucket: Callable[..., Bucket], s3: ObjectStore
) -> None:
    store = bucket(patience_s=60.0)
    with (
        s3.refusing(403, "AccessDenied"),
        pytest.raises(StoreAway, match="access is denied") as told,
    ):
        store.put_bytes(b"", "results/one")
    assert "secret" not in str(told.value)
    with s3.refusing(403, "QuotaExceeded"), pytest.raises(StoreFull):
        store.put_bytes(b"", "results/one")
    with s3.refusing(507, "XMinioStorageFull"), pytest.raises(StoreFull):
        store.put_bytes(b"", "results/one")


def test_a_bucket_that_is_not_there_is_no_missing_file(s3: ObjectStore, tmp_path: Path) -> None:
    settings = WorkerSettings(store_url="s3://nowhere/at", store_endpoint=s3.url, state=tmp_path)
    with pytest.raises(StoreAway, match="no such bucket"):
        store_of(settings).fetch("results/one")


def test_the_store_is_what_the_url_says(tmp_path: Path) -> None:
    assert store_of(WorkerSettings(state=tmp_path)).root == tmp_path
    url = f"file://{tmp_path}/with%20space"
    assert store_of(WorkerSettings(store_url=url)).root == tmp_path / "with space"


@pytest.mark.parametrize("url", ["s3://key:hush@bucket/x", "s3://b", "gs://bucket", "file://x/y"])
def test_a_url_that_is_none_is_refused_without_being_shown(url: str) -> None:
    with pytest.raises(ValueError, match="store_url") as told:
        WorkerSettings(store_url=url)
    assert "hush" not in str(told.value)
