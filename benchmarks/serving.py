"""Latency of one small crystal and the rate of bulk calls, over HTTP, client and service on one machine.

Nothing is cached: every structure sent is a new one.

    python -m benchmarks.serving [--model NAME]
"""

import argparse
import random
import statistics
import threading
import time

from benchmarks.running import Caller, service, wait_ready

LATENCY_BAR_MS, BULK_BAR = 8, 1_200
PEROVSKITES = [
    (a, b)
    for a in ("Ca", "Sr", "Ba", "K", "Na", "Rb")
    for b in ("Ti", "Zr", "Nb", "Al", "Mn", "Fe")
]


def perovskite(rng: random.Random) -> str:
    """A cubic perovskite as CIF text, never twice the same."""
    a, b = rng.choice(PEROVSKITES)
    edge = rng.uniform(3.8, 4.2)
    lines = ["data_x", "_symmetry_space_group_name_H-M 'P 1'"]
    lines += [f"_cell_length_{k} {edge:.8f}" for k in "abc"]
    lines += [f"_cell_angle_{k} 90" for k in ("alpha", "beta", "gamma")]
    lines += ["loop_", "_symmetry_equiv_pos_as_xyz", "'x, y, z'", "loop_", "_atom_site_label"]
    lines += ["_atom_site_type_symbol"] + [f"_atom_site_fract_{k}" for k in "xyz"]
    sites = [
        (a, 0, 0, 0),
        (b, 0.5, 0.5, 0.5),
        ("O", 0.5, 0.5, 0),
        ("O", 0.5, 0, 0.5),
        ("O", 0, 0.5, 0.5),
    ]
    lines += [f"{s}{i} {s} {x} {y} {z}" for i, (s, x, y, z) in enumerate(sites)]
    return "\n".join(lines) + "\n"


def single(port: int, model: str, rng: random.Random, calls: int) -> list[float]:
    """Seconds of each call, one after the other."""
    caller = Caller(port)
    spent = []
    for _ in range(calls):
        structure = {"name": "x.cif", "text": perovskite(rng)}
        start = time.perf_counter()
        status, body = caller.predict([structure], [model])
        spent.append(time.perf_counter() - start)
        assert status == 200, body
    return spent


def bulk(port: int, model: str, rng: random.Random, calls: int, callers: int) -> float:
    """Crystals a second over calls of 256."""
    loads = [
        [{"name": f"{i}.cif", "text": perovskite(rng)} for i in range(256)] for _ in range(calls)
    ]

    def drain() -> None:
        caller = Caller(port)
        while loads:
            try:
                load = loads.pop()
            except IndexError:
                return
            status, body = caller.predict(load, [model])
            assert status == 200, body
            assert all(r["status"] == "succeeded" for r in body["records"]), body

    threads = [threading.Thread(target=drain) for _ in range(callers)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return 256 * calls / (time.perf_counter() - start)


def main() -> None:
    """Print medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="formation-energy")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    with service() as port:
        wait_ready(port)
        single(port, options.model, rng, 100)
        spent = [1000 * s for s in single(port, options.model, rng, 500)]
        cuts = statistics.quantiles(spent, n=100)
        print(
            f"one crystal over HTTP: p50 {cuts[49]:.2f} ms (bar ≤ {LATENCY_BAR_MS}), "
            f"p95 {cuts[94]:.2f} ms, p99 {cuts[98]:.2f} ms"
        )
        for callers in (1, 2, 4):
            rates = [bulk(port, options.model, rng, 8, callers) for _ in range(3)]
            print(
                f"256 CIFs a call, {callers} callers: {statistics.median(rates):,.0f} crystals/s (bar ≥ {BULK_BAR:,})"
            )


if __name__ == "__main__":
    main()
