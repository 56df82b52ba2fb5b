"""Mutated structure files against a running service: no 5xx, nothing over 10 s, ready at the end.

python -m benchmarks.fuzz --cases 10000 [--files DIR]     (DIR: structure files to mutate)
"""

import argparse
import random
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

from benchmarks.running import Caller, service, wait_ready

ROOT = Path(__file__).parents[1]
SLOW_S = 10.0
SPLICES = (
    b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"\x1a", b"\r", b"'", b'"', b";\n", b"?", b".", b"nan", b"inf",
    b"-", b"1e309", b"99999999999", b"0", b"(5)", b"loop_\n", b"data_x\n", b"_cell_length_a 0.001\n", b"#",
    "−".encode(), "½".encode(), b"x,y,z", b"-x+1/2,y*2,z", b"\n" * 500, b"'" * 500, b"{" * 500, b"D", b"Vac",
)  # fmt: skip


def mutated(seed: bytes, rng: random.Random) -> bytes:
    """One to eight small harms: bits, cuts, repeats, swaps, splices, numbers."""
    data = bytearray(seed)
    for _ in range(rng.randint(1, 8)):
        if not data:
            break
        at = rng.randrange(len(data))
        end = min(len(data), at + rng.randint(1, 60))
        match rng.randrange(7):
            case 0:
                data[at] ^= 1 << rng.randrange(8)
            case 1:
                del data[at:end]
            case 2:
                data[at:at] = data[at:end] * rng.choice((2, 5, 50))
            case 3:
                data[at:at] = rng.choice(SPLICES)
            case 4:
                lines = data.split(b"\n")
                rng.shuffle(lines)
                data = bytearray(b"\n".join(lines))
            case 5:
                del data[at:]
            case _:
                digit = rng.choice(b"0123456789-.e")
                data = bytearray(
                    digit if 48 <= b <= 57 and rng.random() < 0.02 else b for b in data
                )
    return bytes(data)


def seeds(folder: Path | None) -> list[tuple[str, bytes]]:
    """The structure files at hand."""
    folders = [folder] if folder else [ROOT / "tests/data", ROOT / "service/examples"]
    files = [p for f in folders for p in sorted(f.rglob("*")) if p.is_file()]
    return [(p.name, data) for p in files if len(data := p.read_bytes()) < 200_000]


def send(port: int, batch: list[tuple[str, bytes]], model: str) -> tuple[int, float, Any]:
    """Status, seconds and body of one call."""
    caller = Caller(port)
    parts: list[tuple[str, str | None, bytes]] = [("files", name, data) for name, data in batch]
    start = time.perf_counter()
    with closing(caller.connection):
        status, body = caller.upload("/v1/predictions", [*parts, ("model", None, model.encode())])
    return status, time.perf_counter() - start, body


def main() -> None:
    """Count statuses and codes; fail on the first thing that must not be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--files", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", default="formation-energy")
    options = parser.parse_args()
    rng = random.Random(options.seed)
    sources = seeds(options.files)
    cases = [(name, mutated(data, rng)) for name, data in rng.choices(sources, k=options.cases)]
    # A case in five goes alone, the others in company: both ways have to hold.
    batches = [[case] for case in cases[: len(cases) // 5]]
    rest = cases[len(cases) // 5 :]
    batches += [rest[at : at + 20] for at in range(0, len(rest), 20)]
    statuses: Counter[int] = Counter()
    codes: Counter[str] = Counter()
    slowest = 0.0
    with service() as port:
        wait_ready(port)
        with ThreadPoolExecutor(4) as pool:
            for status, spent, body in pool.map(lambda b: send(port, b, options.model), batches):
                statuses[status] += 1
                slowest = max(slowest, spent)
                if status >= 500:
                    raise SystemExit(f"{status}: {body}")
                for record in (body or {}).get("records", ()):
                    error = record.get("error") or {}
                    codes[error.get("code", record["status"])] += 1
                    if error.get("code") == "internal":
                        raise SystemExit(f"internal: {record}")
        wait_ready(port)
        print(
            f"{len(cases)} files in {len(batches)} calls, slowest {slowest:.2f} s, ready at the end"
        )
        print("statuses", dict(statuses))
        print("records", dict(codes.most_common()))
    if slowest > SLOW_S:
        raise SystemExit(f"a call took {slowest:.1f} s")


if __name__ == "__main__":
    main()
