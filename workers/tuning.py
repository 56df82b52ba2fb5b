"""The run of a search for settings: its trials are child jobs, and the best one's model becomes a version."""

import math
from collections.abc import Sequence
from typing import Any

from models.errors import UnfitDataset
from workers import sampling, snapshots
from workers.contract import TuneOrder
from workers.files import Files
from workers.jobs import Status
from workers.owning import Hold, Outcome
from workers.spreading import Trial, after_trials, first_fault, spread, trials
from workers.training import (
    MODEL,
    answered,
    check_name,
    taken_over,
    with_model,
    write_result,
)


class Tuner:
    """Runs the two ends of a search: before its trials, and after them."""

    def __init__(self, files: Files) -> None:
        self.files = files

    def run(self, hold: Hold) -> Outcome | None:
        """None while the trials run. Raises: Stopped, MatpropError."""
        order = TuneOrder.model_validate_json(hold.claim.order)
        if answered(self.files, hold.claim) is not None:
            return Outcome(Status.SUCCEEDED)
        folder = taken_over(self.files, hold)
        if hold.claim.children is not None:
            return self._close(hold, order)
        check_name(self.files, order.train)
        check_choice(order)
        sampling.begin(folder, order)
        snapshots.tell(self.files, folder)
        spread(hold, [order.train] * order.trials)
        return None

    def _close(self, hold: Hold, order: TuneOrder) -> Outcome:
        """The best of those that have found anything. Raises: MatpropError when none has."""
        ended = list(trials(hold, self.files))
        best = best_of(ended)
        if best is None or best.result is None:
            if hold.claim.status is not Status.CANCELLING:
                raise first_fault(ended)
            return Outcome(Status.CANCELLED)
        table: list[dict[str, Any]] = [
            {**trial.as_dict(), "settings": sampling.tried(trial.folder)} for trial in ended
        ]
        result = {**best.result, "best": best.number, "trials": table}
        hold.got_to((hold.claim.done, hold.claim.failed, hold.claim.total))  # as in a training
        with_model(self.files, hold, best.folder)
        write_result(self.files, hold, result, best.folder / MODEL, order.train.register_as)
        return Outcome(Status.SUCCEEDED, afterwards=after_trials(hold, self.files))


def check_choice(order: TuneOrder) -> None:
    """Raises: UnfitDataset when no rows are there to choose the best trial by."""
    split = order.train.split
    if split.by != "given" and not split.val:
        raise UnfitDataset(
            "A search chooses by the validation rows, and this split has none.",
            place="split.val",
            expected="more than 0",
            got="0",
        )


def best_of(ended: Sequence[Trial]) -> Trial | None:
    """The trial with the least error on its validation rows."""
    scores = {
        trial.number: sampling.score(trial.result) for trial in ended if trial.result is not None
    }
    number = min(scores, key=scores.__getitem__, default=None)
    if number is None or not math.isfinite(scores[number]):
        return None
    return ended[number]
