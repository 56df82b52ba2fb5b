"""Stands in for the conversion of a checkpoint: what the file says is what happens."""

import json
import os
import sys
from pathlib import Path

from models.card import Target
from tests.workers.conftest import card


def main(file: str, folder: str, *options: str) -> int:
    text = Path(file).read_text()
    if text == "bad":
        error = {"code": "bad_checkpoint", "detail": "broken", "hint": " ".join(options)}
        sys.stdout.write(json.dumps(error))
        return 1
    if text == "greedy":
        bytearray(10**13)
    if text == "crash":
        os.abort()
    name = next(option for option in options if option.startswith("--name=")).removeprefix(
        "--name="
    )
    staged = Path(folder)
    staged.mkdir()
    made = card(name).model_copy(update={"origin": "imported"})
    if text == "other":
        targets = (Target(property="band-gap", unit="eV"),)
        made = made.model_copy(update={"targets": targets})
    (staged / "weights.safetensors").write_bytes(b"")
    (staged / "card.json").write_text(made.model_dump_json())
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
