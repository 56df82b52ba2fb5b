"""A screening through HTTP against the same work in bare processes, one and as many: rates, first results, memory, kills.

    python -m benchmarks.screening [--count 100000] [--data FOLDER] [--kill-every 20] [--skip-bare]

The structures are made by substituting elements in prototypes, those of the examples or of the files in FOLDER; no two
are the same, so nothing is answered from a cache. With `--kill-every` a worker process is killed that often, and at
the end every structure has to be in the table once.
"""

import argparse
import io
import random
import tempfile
import threading
import time
import zipfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow.parquet as pq

from benchmarks.running import Caller, service, wait_ready
from models.datasets.entries import Wishes
from models.datasets.tables import parquet
from models.structures.composition import SYMBOLS
from models.structures.parse import ReadOptions, parse
from models.structures.structure import Structure

MODELS = ("formation-energy", "band-gap", "perovskite-heat")
ELEMENTS = [n for n in range(3, 84) if n not in (10, 18, 36, 43, 54, 61)]
EXAMPLES = Path(__file__).parents[1] / "service" / "examples"
BATCH = 256
BARE = 20_000  # structures that tell the bare rate
SHARE_BAR, FIRST_BAR_S = 0.7, 5.0
LOOK_S = 0.25


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--data", type=Path, default=EXAMPLES)
    parser.add_argument("--model", dest="models", action="append")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--kill-every", type=float, help="Seconds between kills.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--skip-bare", action="store_true")
    given = parser.parse_args()
    models = given.models or list(MODELS)
    texts = list(substituted(prototypes(given.data), given.count, given.seed))
    bare = {}
    for processes in () if given.skip_bare else (1, given.workers):
        bare[processes] = bare_rate(texts[:BARE], models, processes)
        print(f"bare, in {processes}: {bare[processes]:,.0f} structures/s", flush=True)
    with tempfile.TemporaryDirectory(prefix="matprop-bench-") as state:
        rate = screened(Path(state), texts, models, given)
    for processes, alone in bare.items():
        bar = f"  bar ≥ {SHARE_BAR}" if processes == 1 else ""
        print(f"share of the bare rate of {processes}: {rate / alone:.2f}{bar}")


def prototypes(place: Path) -> list[Structure]:
    """Every structure file of a folder, or every row of a Parquet file."""
    if place.is_file():
        texts = [
            (row.name, row.format, row.data)
            for row in parquet(place.open("rb"), place.name, Wishes(columns=frozenset()))
        ]
    else:
        texts = [
            (path.name, None, path.read_bytes())
            for path in sorted(place.iterdir())
            if path.is_file()
        ]
    found = [one for name, kind, data in texts for one in parse(data, name, kind, ReadOptions())]
    return [one for one in found if isinstance(one, Structure)]


def substituted(kinds: Sequence[Structure], count: int, seed: int) -> Iterator[str]:
    """POSCARs: other elements on the sites of a prototype, and its cell scaled to fit."""
    rng = random.Random(seed)
    for _ in range(count):
        kind = rng.choice(kinds)
        old = sorted(set(kind.numbers.tolist()))
        new = rng.sample(ELEMENTS, len(old))
        of = dict(zip(old, new, strict=True))
        order = np.argsort(kind.numbers, kind="stable")
        sites = Counter(kind.numbers.tolist())
        lines = ["made by substitution", f"{rng.uniform(0.95, 1.15):.8f}"]
        lines += [" ".join(f"{x:.8f}" for x in row) for row in kind.lattice]
        lines += [" ".join(SYMBOLS[of[n]] for n in old), " ".join(str(sites[n]) for n in old)]
        lines += ["Direct", *(" ".join(f"{x:.8f}" for x in kind.fractional[at]) for at in order)]
        yield "\n".join(lines) + "\n"


# -- without the service ---------------------------------------------------------------------------

RESIDENT: list[Any] = []


def bare_rate(texts: Sequence[str], models: Sequence[str], processes: int) -> float:
    """Structures a second of plain processes: text to values, graphs once for equal settings."""
    parts = [list(texts[at : at + BATCH]) for at in range(0, len(texts), BATCH)]
    with ProcessPoolExecutor(
        processes, get_context("spawn"), initializer=_load, initargs=(models,)
    ) as pool:
        list(pool.map(_bare, [texts[:1]] * processes))
        start = time.perf_counter()
        found = list(pool.map(_bare, parts))
        took = time.perf_counter() - start
    print(f"bare: {1e6 * sum(found) / len(texts):.0f} µs of computing a structure")
    return len(texts) / took


def _load(models: Sequence[str]) -> None:
    from models.catalogue import RELEASED, Catalogue
    from models.infer import load, prepare_process

    prepare_process()
    catalogue = Catalogue([RELEASED])
    RESIDENT[:] = [load(catalogue.get(model)[1], "cpu") for model in models]


def _bare(texts: Sequence[str]) -> float:
    """Seconds of computing."""
    from models import samples

    begin = time.process_time()
    settings = {one.card.input.key(): one.card.input for one in RESIDENT}
    read = [parse(text.encode(), "a.vasp", "poscar", ReadOptions())[0] for text in texts]
    graphs = {
        key: [samples.featurise(each, setting) for each in read]  # type: ignore[arg-type]
        for key, setting in settings.items()
    }
    for one in RESIDENT:
        one.answer(graphs[one.card.input.key()])
    return time.process_time() - begin


# -- with it ---------------------------------------------------------------------------------------


def screened(
    state: Path, texts: Sequence[str], models: Sequence[str], given: argparse.Namespace
) -> float:
    """Structures a second from the upload's end to the screening's end."""
    packed = zipped(texts)
    with service(given.workers, state) as port:
        wait_ready(port)
        caller = Caller(port)
        parts: list[tuple[str, str | None, bytes]] = [("model", None, m.encode()) for m in models]
        end = threading.Event()
        memory: Counter[str] = Counter()
        cpu: dict[int, tuple[str, float, float]] = {}
        watching = [threading.Thread(target=_watch, args=(memory, cpu, end), daemon=True)]
        if given.kill_every:
            watching.append(
                threading.Thread(target=_kill, args=(given.kill_every, end), daemon=True)
            )
        for thread in watching:
            thread.start()
        start = time.perf_counter()
        status, body = caller.upload("/v1/screenings", [*parts, ("files", "all.zip", packed)])
        accepted = time.perf_counter()
        assert status == 202, body
        job, first = body["job"]["id"], None
        while True:
            told = caller.send("GET", f"/v1/jobs/{job}")[1]
            if first is None and told["progress"]["done"]:
                first = time.perf_counter()
            if told["status"] in ("succeeded", "failed", "cancelled"):
                break
            time.sleep(LOOK_S)
        took = time.perf_counter() - accepted
        end.set()
        for thread in watching:
            thread.join()
    _check(state, job, len(texts), told)
    print(f"upload {accepted - start:.1f} s, first results after {(first or 0) - accepted:.1f} s "
          f"(bar ≤ {FIRST_BAR_S:g}), all after {took:.1f} s: {len(texts) / took:,.0f} structures/s")  # fmt: skip
    spent: dict[str, float] = defaultdict(float)
    for name, begin, now in cpu.values():
        spent[name] += now - begin
    for name, size in memory.most_common():
        print(
            f"{size / 1e6:7.0f} MB at most {1e6 * spent[name] / len(texts):7.0f} µs a structure  {name}"
        )
    return len(texts) / took


def zipped(texts: Sequence[str]) -> bytes:
    """All in one archive."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for place, text in enumerate(texts):
            archive.writestr(f"{place // 1000}/{place}.vasp", text)
    return held.getvalue()


def _check(state: Path, job: str, count: int, told: dict[str, Any]) -> None:
    """Every structure once, in its place."""
    shards = sorted((state / "screenings" / job / "shards").glob("*.parquet"))
    found: list[int] = []
    for shard in shards:
        found += pq.read_table(shard, columns=["index"]).column("index").to_pylist()
    assert sorted(found) == list(range(count)), f"{len(found):,} rows of {count:,}: {told}"
    progress = told["progress"]
    print(f"{told['status']}: {progress['done']:,} done, {progress['failed']:,} failed, "
          f"{len(shards):,} shards, every structure once {told['error'] or ''}")  # fmt: skip


def _processes() -> Iterator[tuple[str, psutil.Process]]:
    for each in psutil.Process().children(recursive=True):
        try:
            words = each.cmdline()
        except psutil.Error:
            continue
        for name in ("valkey-server", "redis-server", "workers.parser_child", "workers.pieces"):
            if any(name in word for word in words):
                yield name, each
        if "-Q" in words:
            yield f"{words[words.index('-Q') + 1]} worker", each
        elif words[-1:] == ["service"]:
            yield "service", each


def _watch(
    most: Counter[str], cpu: dict[int, tuple[str, float, float]], end: threading.Event
) -> None:
    """The largest process of each kind, by its share of memory; what each has computed since the begin."""
    over = False
    while not over:
        over = end.wait(2.0)
        for name, process in _processes():
            try:
                most[name] = max(most[name], process.memory_full_info().pss)
                times = process.cpu_times()
            except psutil.Error:
                continue
            spent = times.user + times.system
            cpu[process.pid] = (name, cpu.get(process.pid, ("", spent, 0.0))[1], spent)


def _kill(every: float, end: threading.Event) -> None:
    rng = random.Random(1)
    while not end.wait(every):
        workers = [process for name, process in _processes() if name.endswith("worker")]
        if workers:
            victim = rng.choice(workers)
            victim.kill()
            print(f"killed {victim.pid}", flush=True)


if __name__ == "__main__":
    main()
