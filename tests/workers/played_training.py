"""Stands in for the training program: what the order's title says is what happens.

Its epochs are a chain of numbers, so that one who goes on from a checkpoint ends where one unbroken does.
"""

import errno
import hashlib
import json
import math
import os
import signal
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from models.card import Card, Target
from models.errors import BadSetting
from models.settings.graph import GraphSettings
from models.settings.network import NetworkSettings


def main(folder: Path) -> int:
    told = json.loads((folder / "order.json").read_text())
    stopped: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: stopped.append(number))
    return Played(folder, told, stopped).run()


class Played:
    def __init__(self, folder: Path, told: dict, stopped: list[int]) -> None:
        self.folder, self.told, self.stopped = folder, told, stopped
        self.order = told["order"]
        self.play = self.order["title"] or ""
        self.epochs = self.order["training"]["epochs"]
        self.state = folder / "checkpoint" / "state.json"
        self.state.parent.mkdir(exist_ok=True)

    def run(self) -> int:
        if self.play == "bad":
            error = BadSetting("This cannot be learned.", hint="Learn another.")
            sys.stdout.write(f"a line before\n{json.dumps(error.as_dict())}\n")
            return 1
        epoch, value = self.begun()
        while epoch < self.epochs and not self.stopped:
            epoch, value = epoch + 1, (value * 31 + 7) % 1009
            self.report(
                {"kind": "metric", "seed": 0, "epoch": epoch, "epochs": self.epochs, "loss": value}
            )
            self.misfortune(epoch)
            self.put(self.state, [epoch, value])
        self.finish(value)
        return 0

    def begun(self) -> tuple[int, int]:
        if not self.state.exists():
            return 0, 1
        epoch, value = json.loads(self.state.read_text())
        self.report({"kind": "log", "text": f"goes on after epoch {epoch}"})
        return epoch, value

    def misfortune(self, epoch: int) -> None:
        if self.play == "slow":
            time.sleep(0.05)
        if self.play == "waits" and epoch == 3:
            while not self.stopped:
                time.sleep(0.01)
        if self.play == "told to end by others" and epoch == 3 and self.first(epoch):
            os.kill(os.getpid(), signal.SIGTERM)
        if self.play == "killed" or (
            self.play == "killed on the way" and epoch % 2 and self.first(epoch)
        ):
            os.kill(os.getpid(), signal.SIGKILL)
        if self.play == "greedy" and epoch == 3 and self.first(epoch):
            bytearray(10**13)
        if self.play == "full" and epoch == 3 and self.first(epoch):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def first(self, epoch: int) -> bool:
        mark = self.folder / f"seen-{epoch}"
        known = mark.exists()
        mark.touch()
        return not known

    def report(self, line: dict) -> None:
        with (self.folder / "reports.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")

    def put(self, path: Path, body: object) -> None:
        path.with_suffix(".new").write_text(json.dumps(body))
        path.with_suffix(".new").replace(path)

    def finish(self, value: int) -> None:
        model = self.folder / "model"
        model.mkdir(exist_ok=True)
        weights = b"%d" % value
        (model / "weights.safetensors").write_bytes(weights)
        (model / "card.json").write_text(self.card(weights).model_dump_json())
        rate = self.order["training"].get("learning_rate", 1.0)
        figures = {"mae": abs(math.log10(rate) + 2) + len(self.stopped), "value": value}
        self.put(
            self.folder / "result.json",
            {
                "metrics": {"val": figures},
                "baselines": {},
                "rows": self.order["rows"],
                "stopped": bool(self.stopped),
            },
        )

    def card(self, weights: bytes) -> Card:
        targets = tuple(
            Target(property=one["property"], unit=one["unit"]) for one in self.order["targets"]
        )
        return Card(
            name=self.told["name"],
            version=1,
            title="played",
            origin="trained",
            targets=targets,
            input=GraphSettings(),
            network=NetworkSettings(),
            elements_sha256="0" * 64,
            weights_sha256=hashlib.sha256(weights).hexdigest(),
            created_at=datetime.now(UTC),
        )


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
