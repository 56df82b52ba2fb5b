"""The run of a training job: a program learns in the job's folder, and what it made becomes a version."""

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.errors import MatpropError, UnknownDataset
from workers import snapshots
from workers.contract import TrainOrder
from workers.files import Files
from workers.following import RESULT, Place, Program, alone, give_order, result_of
from workers.jobs import Claim, Job, Status
from workers.owning import Counts, Hold, Outcome, Stopped
from workers.registering import answers_of, check_fits, registered_as
from workers.sampling import tried, with_settings
from workers.shelf import MANIFEST
from workers.snapshots import Keeper
from workers.versions import catalogue_of

MODEL, CHECKPOINT = "model", "checkpoint"


@dataclass(frozen=True, slots=True)
class Machine:
    """Where networks learn here."""

    device: str = "cpu"
    threads: int = 1
    snapshot_s: float = 10.0


class Trainer:
    """Runs training jobs, those that are trials too."""

    def __init__(self, files: Files, program: Program, machine: Machine) -> None:
        self.files = files
        self.program = program
        self.machine = machine

    def run(self, hold: Hold) -> Outcome:
        """From the data set to the registered version. Raises: Stopped, MatpropError."""
        order = TrainOrder.model_validate_json(hold.claim.order)
        if (before := answered(self.files, hold.claim)) is not None:
            return Outcome(Status.CANCELLED if before["stopped"] else Status.SUCCEEDED)
        check_name(self.files, order)
        folder = self._folder(hold, order)
        if result_of(folder) is None:
            order = with_settings(folder, order)
            snapshots.tell(self.files, folder)
            give_order(folder, self._told(order))
            uses = (self.files.dataset(order.dataset),)
            pause_s = self.machine.snapshot_s
            keeper = Keeper(self.files, folder, hold.claim.attempt, pause_s, uses)
            try:
                self.program.run(hold, folder, place_of(order), keeper)
            except (Stopped, MatpropError):  # whoever goes on may be on another machine
                keeper.now()
                raise
            if hold.claim.parent is not None or (result_of(folder) or {}).get("stopped"):
                keeper.end()
        result = result_of(folder)
        if result is None:  # cancelled before there was anything to keep
            return Outcome(Status.CANCELLED, counts=hold.counts)
        return self._ended(hold, order, folder, result)

    def _folder(self, hold: Hold, order: TrainOrder) -> Path:
        if hold.claim.parent is not None and order.trial is not None:
            folder = self.files.trial(hold.claim.parent, order.trial)
            if self.files.shared:
                snapshots.gather(self.files, self.files.training(hold.claim.parent))
                with alone(folder, hold):
                    snapshots.restore(self.files, folder, hold.claim.attempt, hold.claim.told)
            return folder
        return taken_over(self.files, hold)

    def _told(self, order: TrainOrder) -> dict[str, Any]:
        start = order.start_from
        catalogue = catalogue_of(self.files)
        return {
            "order": order.model_dump(mode="json"),
            "dataset": dataset_of(self.files, order.dataset),
            "start_from": str(catalogue.get(start)[1]) if start else None,
            "name": order.register_as or "unnamed",
            "device": self.machine.device,
            "threads": self.machine.threads,
        }

    def _ended(
        self, hold: Hold, order: TrainOrder, folder: Path, result: dict[str, Any]
    ) -> Outcome:
        if result["stopped"]:
            status, counts, gone = Status.CANCELLED, hold.counts or (0, 0, 0), None
        else:
            # Weights that are judged alone count as an epoch.
            total = max(1, order.training["epochs"]) * len(order.seeds)
            status, counts = Status.SUCCEEDED, (total, 0, total)
            gone = forget(self.files, folder / CHECKPOINT if hold.claim.parent else folder)
        hold.got_to(counts)  # the last look before what cannot be taken back
        found = result if order.trial is None else result | {"tried": tried(folder)}
        write_result(self.files, hold, found, folder / MODEL, order.register_as)
        return Outcome(status, counts=counts, afterwards=gone)


def check_name(files: Files, order: TrainOrder) -> None:
    """Before anything is learned. Raises: InputError for a name whose versions answer otherwise."""
    if order.register_as:
        targets = [(target.property, target.unit) for target in order.targets]
        check_fits(files, order.register_as, answers_of(order.family, targets, order.classes))


def dataset_of(files: Files, dataset: str) -> str:
    """The folder of a data set. Raises: UnknownDataset."""
    folder = files.dataset(dataset)
    if not files.is_there(folder / MANIFEST):
        raise UnknownDataset(f"There is no data set {dataset} any more.", got=dataset)
    return str(files.fetch_all(folder))


def taken_over(files: Files, hold: Hold) -> Path:
    """The job's folder; a retry goes on in that of a job before, but not from where a cancel ended it."""
    folder, job = files.training(hold.claim.id), hold.claim
    if files.shared:
        return _brought(files, hold, folder)
    while job.retry_of is not None and not folder.exists():
        before = files.training(job.retry_of)
        for path in list(before.rglob(RESULT)):
            if (result_of(path.parent) or {}).get("stopped"):
                path.unlink()
        with suppress(FileNotFoundError):
            before.rename(folder)
        earlier = hold.jobs.get(job.retry_of)  # one that never began has left its own as it was
        if earlier is None:
            break
        job = earlier
    return folder


def _brought(files: Files, hold: Hold, folder: Path) -> Path:
    """The same, from an object store."""
    job: Claim | Job = hold.claim
    with alone(folder, hold):
        while not snapshots.restore(files, folder, hold.claim.attempt, hold.claim.told):
            earlier = hold.jobs.get(job.retry_of) if job.retry_of else None
            if earlier is None:
                break
            snapshots.take_over(files, files.training(earlier.id), folder)
            job = earlier
    return folder


def answered(files: Files, claim: Claim) -> dict[str, Any] | None:
    """What an attempt has answered of whose end the broker knows nothing any more."""
    path = files.result(claim.id)
    if not files.is_there(path):
        return None
    found: dict[str, Any] = json.loads(path.read_bytes())
    return found


def with_model(files: Files, hold: Hold, folder: Path) -> None:
    """What a training of another machine has made is here too."""
    if files.shared:
        with alone(folder, hold):
            snapshots.restore(files, folder, hold.claim.attempt)


def write_result(
    files: Files, hold: Hold, result: dict[str, Any], model: Path, name: str | None
) -> None:
    """The job's answer, one line; the model that it names is registered before."""
    made = None
    if name and model.is_dir():
        with alone(model.parent, hold):  # a worker that has lost the job may be at it just now
            made = registered_as(files, name, model)
    line = {"model": made.id if made else None} | result
    if made and made.name != name:
        taken = f"The name {name} was taken meanwhile, for something else: this is {made.id}."
        line["notes"] = [*line.get("notes", ()), taken]
    with files.written(files.result(hold.claim.id), str(hold.claim.attempt)) as file:
        file.write(json.dumps(line).encode() + b"\n")


def place_of(order: TrainOrder) -> Place:
    """Epochs of all seeds together."""
    epochs = order.training["epochs"]

    def place(report: dict[str, Any]) -> Counts | None:
        if "epoch" not in report:
            return None
        before = order.seeds.index(report["seed"]) * epochs
        return before + report["epoch"], 0, epochs * len(order.seeds)

    return place


def forget(files: Files, folder: Path) -> Callable[[], None]:
    """What can be done when nobody waits any more."""
    return lambda: snapshots.forget(files, folder)
