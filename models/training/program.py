"""The training program: `python -m models.training.program FOLDER` does what `FOLDER/order.json` orders.

It appends to `reports.jsonl`, keeps `checkpoint/`, from which the same command goes on after any end, and leaves
`result.json` and `model/`. SIGTERM ends it early with the best so far. An error of the sender's is told as JSON in
the last line of its output, with exit code 1.
"""

import json
import os
import signal
import sys
from pathlib import Path

import torch

from models.errors import BadSetting, MatpropError
from models.infer import prepare_process
from models.training.course import Work, learn
from models.training.launch import STOP, die_with_parent, launch
from models.training.reports import Reports


class Stopped(Exception):
    """Told to end before there was anything to keep."""


def main(arguments: list[str]) -> int:
    """The command of this module."""
    prepare_process()
    try:
        return train(Work.of(Path(arguments[0])))
    except Stopped:
        return 0
    except MatpropError as error:
        sys.stdout.write(json.dumps(error.as_dict()) + "\n")
        return 1


def train(work: Work) -> int:
    """To the end, or until told to end. Raises: MatpropError, Stopped."""
    if "RANK" in os.environ:
        die_with_parent()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a file tells all of them
        learn(work, (work.folder / STOP).exists)
        return 0
    if any(work.folder.glob("checkpoint/*.pt")):  # a life before this one has left something
        _ask_from_now_on()
    else:
        signal.signal(signal.SIGTERM, _stop_at_once)
    if work.plan.devices > 1:
        _check_devices(work)
        work.source(Reports(work.folder / "reports.jsonl"))  # once, for all processes
        return launch("models.training.program", work.folder, work.plan.devices)
    learn(work, _asked_to_end, _ask_from_now_on)
    return 0


_signals: list[int] = []  # that asked to end


def _stop_at_once(_signal: int, _frame: object) -> None:
    raise Stopped


def _ask_from_now_on() -> None:
    """There is something to keep now: SIGTERM is only taken down."""
    signal.signal(signal.SIGTERM, lambda number, _frame: _signals.append(number))


def _asked_to_end() -> bool:
    return bool(_signals)


def _check_devices(work: Work) -> None:
    wanted, on_gpus = work.plan.devices, work.device.type == "cuda"
    # Two share one processor well enough to be tried out.
    there = torch.cuda.device_count() if on_gpus else max(2, os.cpu_count() or 1)
    if wanted > there:
        raise BadSetting(
            f"The machine that trains has not {wanted} {'GPUs' if on_gpus else 'processors'}.",
            place="devices",
            expected=f"at most {there}",
            got=str(wanted),
        )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
