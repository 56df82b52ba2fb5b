"""Stands in for the judging of a model by a data set."""

import json
import sys
from pathlib import Path


def main(folder: Path) -> int:
    told = json.loads((folder / "order.json").read_text())
    assert (Path(told["model"]) / "card.json").exists()
    result = {"metrics": {"all": {"mae": 0.5}}, "columns": told["columns"]}
    (folder / "result.json").write_text(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
