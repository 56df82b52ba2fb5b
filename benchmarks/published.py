"""The published checkpoints over HTTP against the released code's own answers.

python -m benchmarks.published --data DIR      (DIR/upstream-cgcnn as published)
"""

import argparse
import csv
from pathlib import Path

from benchmarks.running import Caller, service, wait_ready

MODELS = ("band-gap", "bulk-moduli", "formation-energy-per-atom", "semi-metal-classification")


def main() -> None:
    """Print the worst difference per model; fail beyond 1e-4."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    folder = parser.parse_args().data / "upstream-cgcnn"
    with (folder / "reference/reference_predictions.csv").open() as file:
        wanted = {row["id"]: row for row in csv.DictReader(file)}
    with service() as port:
        wait_ready(port)
        caller = Caller(port)
        for model in MODELS:
            data = (folder / f"{model}.pth.tar").read_bytes()
            parts = [
                ("file", f"{model}.pth.tar", data),
                ("name", None, f"published-{model}".encode()),
            ]
            status, body = caller.upload("/v1/models", parts)
            assert status in (200, 201), body
        worst = dict.fromkeys(MODELS, 0.0)
        ids = sorted(wanted)
        for at in range(0, len(ids), 50):
            chunk = ids[at : at + 50]
            structures = [
                {
                    "name": i,
                    "format": "cif",
                    "text": (folder / f"reference/cif/{i}.cif").read_text(),
                }
                for i in chunk
            ]
            status, body = caller.predict(structures, [f"published-{m}" for m in MODELS])
            assert status == 200, body
            for record in body["records"]:
                for prediction in record["predictions"]:
                    model = prediction["model"].removeprefix("published-").split("@")[0]
                    assert prediction["value"] is not None, record
                    miss = abs(prediction["value"] - float(wanted[record["name"]][model]))
                    worst[model] = max(worst[model], miss)
    for model, miss in worst.items():
        print(f"{model:28s} {len(ids)} structures, worst difference {miss:.2e}")
    if max(worst.values()) > 1e-4:
        raise SystemExit("beyond 1e-4")


if __name__ == "__main__":
    main()
