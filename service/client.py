"""matprop from Python: `Client().predict(["NaCl.cif"], model="formation-energy")`."""

import math
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from pathlib import Path
from typing import Any, Self, Unpack

from service.client_datasets import DatasetOptions, Datasets
from service.client_errors import (
    ServiceError,
    Unreachable,
)
from service.client_follow import Follower
from service.client_inputs import Source, chunks_of, places, sources_of
from service.client_records import Event, Progress, Record, Records
from service.client_screen import Question, Rows, ScreeningOptions, Screenings
from service.client_train import (
    EvaluationOptions,
    OnEvent,
    Target,
    Training,
    TrainingOptions,
    is_file,
    training_body,
)
from service.client_transport import Transport, body_of
from service.schemas.dataset import BadRow, DatasetView
from service.schemas.evaluation import EvaluationView
from service.schemas.job import JobStatus, JobView
from service.schemas.key import KeyView
from service.schemas.model import ElementsView, ModelSummary, ModelVersion, ModelView
from service.schemas.screening import ColumnView, FailedItem, ScreeningView
from service.schemas.training import TrainingView

__all__ = ["Client", "Event", "Progress", "Record", "Records", "ServiceError"]

IN_FLIGHT = 4
SMALL_CALL = 8  # up to here one request is the fastest
MOST_A_CALL = 500
CALL_BYTES = 32_000_000
POST_WAIT_S = 10

OnProgress = Callable[[Progress], None]


class Client:
    """One method a thing to ask for; use it with `with`, or call `close`."""

    def __init__(
        self,
        url: str | None = None,
        key: str | None = None,
        *,
        patience_s: float = 120.0,
        **fakes: Any,
    ) -> None:
        """Where (`MATPROP_URL`) and who (`MATPROP_KEY`); broken connections are retried so long."""
        self._transport = Transport(url, key, patience_s, **fakes)
        self._follower = Follower(self._transport)
        self._datasets = Datasets(self._follower)
        self._training = Training(self._follower)
        self._screenings = Screenings(self._follower)
        self._bounds: dict[str, Any] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connections."""
        self._transport.close()

    @property
    def url(self) -> str:
        """The service's address."""
        return self._transport.url

    # Predictions

    def predict(
        self,
        structures: Any,
        model: str | Sequence[str] | None = None,
        *,
        models: Sequence[str] = (),
        include: str | Iterable[str] = (),
        level: float | None = None,
        disorder: str = "refuse",
        primitive: bool = False,
        format: str | None = None,  # noqa: A002 (the name it has everywhere)
        adsorbate: str | int | None = None,
        label: str | None = None,
        progress: OnProgress | None = None,
    ) -> Records:
        """One record a structure, in their order; one that cannot be predicted says why in its record.

        Structures are paths, folders, texts, pymatgen or ASE objects, or pairs (name, any of these). `include`
        asks for `sites`, `features`, `neighbours`; `level` is that of the intervals.
        Many are sent in several calls; a broken connection is picked up where it broke.
        Raises ServiceError.
        """
        named = [model] if isinstance(model, str) else [*(model or ()), *models]
        sources = sources_of(structures)
        form = {
            "model": named,
            "include": sorted({include} if isinstance(include, str) else set(include)),
            "disorder": disorder,
            "primitive": "true" if primitive else "false",
        }
        if level is not None:
            form["level"] = repr(float(level))
        if adsorbate is not None:
            form["adsorbate"] = str(adsorbate)
        form |= {key: value for key, value in (("format", format), ("label", label)) if value}
        call = Call(self._follower, form, progress, len(sources))
        return call.run(list(chunks_of(sources, self._most(len(sources)), CALL_BYTES)))

    def submit(self, structures: Any, model: str | Sequence[str], **options: Any) -> str:
        """Send one call and return its job's id at once; `resume` gives the records."""
        named = [model] if isinstance(model, str) else list(model)
        form = {"model": named} | options
        body = self._follower.post(form, sources_of(structures), wait_s=0)
        return str(body["job"])

    def resume(self, job: str, progress: OnProgress | None = None) -> Records:
        """The records of a job, waiting for its end. Raises JobFailed, JobCancelled."""
        return self._follower.records(job, progress)

    # Screenings

    def screen(
        self,
        structures: Any = None,
        model: str | Sequence[str] = (),
        *,
        dataset: str | None = None,
        location: str | None = None,
        progress: OnProgress | None = None,
        **options: Unpack[ScreeningOptions],
    ) -> Rows:
        """The table of many structures, waiting until it is complete. Raises JobFailed, JobCancelled.

        Structures are as in `predict`; or name a data set, or a `location` that the service may read.
        """
        job = self.submit_screening(
            structures, model, dataset=dataset, location=location, **options
        )
        return self.resume_screening(job, progress)

    def submit_screening(
        self,
        structures: Any = None,
        model: str | Sequence[str] = (),
        *,
        dataset: str | None = None,
        location: str | None = None,
        **options: Unpack[ScreeningOptions],
    ) -> str:
        """Start a screening and return its job's id at once; `screened` reads its table while it fills."""
        named = [model] if isinstance(model, str) else list(model)
        return self._screenings.submit(
            structures, named, dataset=dataset, location=location, options=options
        )

    def resume_screening(self, job: str, progress: OnProgress | None = None) -> Rows:
        """The table of a screening, waiting until it is complete. Raises JobFailed, JobCancelled."""
        self._screenings.follow(job, progress)
        return self.screened(job)

    def screened(self, job: str, **question: Unpack[Question]) -> Rows:
        """The rows of a screening's table, those that are there now.

        `where` filters (`"band-gap > 1 and in_domain"`), `sort` orders (`"-band-gap,name"`), `top` bounds all of
        them, `columns` chooses. Iterate over them, or `.to_pandas()`, or `.save("table.parquet")`.
        """
        return Rows(self._follower, job, question)

    def screening(self, job: str) -> ScreeningView:
        """What a screening was asked, and where it stands."""
        return self._screenings.view(job)

    def screening_columns(self, job: str) -> list[ColumnView]:
        """The columns of a screening's table."""
        return self._screenings.columns(job)

    def screening_errors(self, job: str) -> Iterator[FailedItem]:
        """The structures of a screening that failed, and why."""
        return self._screenings.failed(job)

    # Jobs

    def jobs(self, *, limit: int = 50, **filters: str | None) -> list[JobView]:
        """The newest jobs; filter by `status`, `kind`, `model`, `label`."""
        query: dict[str, Any] = {key: value for key, value in filters.items() if value}
        query["limit"] = min(limit, 100)
        found: list[JobView] = []
        path: str | None = "/v1/jobs"
        while path and len(found) < limit:
            page = self._transport.json("GET", path, params=query or None)
            found.extend(JobView.model_validate(one) for one in page["jobs"])
            path, query = page["links"].get("next"), {}
        return found[:limit]

    def job(self, job: str) -> JobView:
        """Where a job stands."""
        return self._follower.job(job)

    def cancel(self, job: str) -> JobView:
        """Ask a job to end; needless when it has ended."""
        return JobView.model_validate(self._transport.json("POST", f"/v1/jobs/{job}/cancel"))

    def retry(self, job: str) -> JobView:
        """Do an ended job again: a prediction whole, a screening or training what is left of it."""
        once = {"Idempotency-Key": str(uuid.uuid4())}
        answer = self._transport.json("POST", f"/v1/jobs/{job}/retry", headers=once)
        return JobView.model_validate(answer)

    def delete(self, job: str) -> None:
        """Forget an ended job and its results; models and data sets that it has made stay."""
        self._transport.json("DELETE", f"/v1/jobs/{job}")

    def events(self, job: str) -> Iterator[Event]:
        """A job's events as they come, to its end, over broken connections too."""
        return self._follower.events(job)

    # Models

    def models(self) -> list[ModelSummary]:
        """All models."""
        body = self._transport.json("GET", "/v1/models")
        return [ModelSummary.model_validate(one) for one in body["models"]]

    def model(self, name: str) -> ModelView:
        """One model with the cards of its versions."""
        return ModelView.model_validate(self._transport.json("GET", f"/v1/models/{name}"))

    def elements(self, name: str) -> ElementsView:
        """What a model (`name`, `name@3`, `name@alias`) says of each element, on the average."""
        return ElementsView.model_validate(
            self._transport.json("GET", f"/v1/models/{name}/elements")
        )

    def import_model(
        self,
        path: str | Path,
        *,
        name: str,
        property: str | None = None,  # noqa: A002 (the name it has everywhere)
        unit: str | None = None,
        title: str | None = None,
        classes: Sequence[str] = (),
    ) -> ModelVersion:
        """Make a checkpoint a model, for example a published CGCNN `.pth.tar`. Raises JobFailed."""
        fields = {"name": name, "property": property, "unit": unit, "title": title}
        form: dict[str, Any] = {key: value for key, value in fields.items() if value is not None}
        if classes:
            form["classes"] = list(classes)
        source = Source(Path(path).name, Path(path))
        body = self._follower.post(form, [source], wait_s=60, path="/v1/models", field="file")
        if body.get("model") is None:
            job = self._follower.wait(body["job"])
            body = self._transport.json("GET", job.links.results or f"/v1/models/{name}")
        return version_of(body)

    def export_model(self, name: str, path: str | Path) -> Path:
        """Write a model (`name`, `name@3`, `name@alias`) to a file that `import_model` takes elsewhere."""
        base, _, wanted = name.partition("@")
        found = self.model(base)
        version = next(
            (one for one in found.items if wanted in ("", str(one.version), *one.aliases)), None
        )
        if version is None:
            there = ", ".join(one.id for one in found.items)
            raise ServiceError(f"{base} has no version {wanted!r}; there are: {there}")
        answer = self._transport.send("GET", f"{version.links.self}/file")
        if answer.is_error:
            body_of(answer)
        Path(path).write_bytes(answer.content)
        return Path(path)

    def delete_model(self, name: str) -> None:
        """Forget a version (`name@3`), or all versions (`name`), of a model that was made there."""
        base, at, version = name.partition("@")
        self._transport.json(
            "DELETE", f"/v1/models/{base}" + (f"/versions/{version}" if at else "")
        )

    def drop_alias(self, name: str, alias: str) -> None:
        """Let `name@alias` mean nothing any more."""
        self._transport.json("DELETE", f"/v1/models/{name}/aliases/{alias}")

    def set_alias(self, name: str, alias: str, version: int) -> None:
        """Let `name@alias` mean this version."""
        self._transport.json("PUT", f"/v1/models/{name}/aliases/{alias}", json={"version": version})

    # Data sets

    def add_dataset(
        self,
        path: str | Path,
        *,
        progress: OnProgress | None = None,
        **options: Unpack[DatasetOptions],
    ) -> DatasetView:
        """Keep a data set, waiting for its rows to be read. Raises JobFailed, JobCancelled.

        The same rows under the same name are kept once.
        """
        return self._datasets.add(path, options, progress)

    def datasets(self, *, name: str | None = None) -> list[DatasetView]:
        """All data sets, the newest first."""
        return list(self._datasets.page(name=name))

    def dataset(self, known: str) -> DatasetView:
        """What a data set holds, by its id, or by its name for the newest of that name."""
        return DatasetView.model_validate(self._transport.json("GET", f"/v1/datasets/{known}"))

    def dataset_report(self, known: str) -> Iterator[BadRow]:
        """The rows of its source that are not in a data set, and why."""
        return self._datasets.report(known)

    def delete_dataset(self, known: str) -> None:
        """Forget a data set; not while a job needs it."""
        self._transport.json("DELETE", f"/v1/datasets/{known}")

    # Trainings

    def train(
        self,
        dataset: str | Path,
        target: Target | Sequence[Target],
        *,
        progress: OnEvent | None = None,
        **options: Unpack[TrainingOptions],
    ) -> ModelVersion:
        """Make a model of a data set (id, name, or a file, which is sent first), waiting for it.

        A target is a column, or `{"column", "property", "unit"}`. `progress` hears every event: those of
        kind `metric` tell of each epoch. Raises JobFailed, JobCancelled.
        """
        return self.resume_training(self.submit_training(dataset, target, **options), progress)

    def submit_training(
        self,
        dataset: str | Path,
        target: Target | Sequence[Target],
        **options: Unpack[TrainingOptions],
    ) -> str:
        """Start a training and return its job's id at once; `resume_training` waits for the model."""
        known = self.add_dataset(dataset).id if is_file(dataset) else str(dataset)
        return self._training.submit("/v1/trainings", training_body(known, target, options))

    def resume_training(self, job: str, progress: OnEvent | None = None) -> ModelVersion:
        """The model that a training makes, waiting for it. Raises JobFailed, JobCancelled."""
        self._training.follow(job, progress)
        return self._training.made(job)

    def training(self, job: str) -> TrainingView:
        """What was ordered, where it stands, and what came of it."""
        return self._training.training(job)

    def trainings(self, *, limit: int = 20, **filters: str | None) -> list[TrainingView]:
        """The newest trainings; filter by `status`, `label`, or `search` for its trials."""
        query = {key: value for key, value in filters.items() if value} | {"limit": str(limit)}
        body = self._transport.json("GET", "/v1/trainings", params=query)
        return [TrainingView.model_validate(one) for one in body["trainings"]]

    def evaluate(
        self,
        model: str | None = None,
        dataset: str | Path | None = None,
        *,
        progress: OnEvent | None = None,
        **options: Unpack[EvaluationOptions],
    ) -> EvaluationView:
        """Judge a model by a data set; with `sizes` a learning curve. Raises JobFailed, JobCancelled."""
        job = self.submit_evaluation(model, dataset, **options)
        self._training.follow(job, progress)
        return self._training.evaluation(job)

    def submit_evaluation(
        self,
        model: str | None = None,
        dataset: str | Path | None = None,
        **options: Unpack[EvaluationOptions],
    ) -> str:
        """Start an evaluation and return its job's id at once."""
        if dataset is not None:
            dataset = self.add_dataset(dataset).id if is_file(dataset) else str(dataset)
        body = {"model": model, "dataset": dataset, **options}
        given = {key: value for key, value in body.items() if value is not None}
        return self._training.submit("/v1/evaluations", given)

    def evaluation(self, job: str) -> EvaluationView:
        """What was asked, and what came of it."""
        return self._training.evaluation(job)

    # Keys, for administrators

    def create_key(self, name: str, scopes: Sequence[str] = ("predict",), **quotas: Any) -> KeyView:
        """A new key; its secret is in this answer only."""
        given = {key: value for key, value in quotas.items() if value is not None}
        order = {"name": name, "scopes": list(scopes), **given}
        headers = {"Idempotency-Key": str(uuid.uuid4())}
        body = self._transport.json("POST", "/v1/keys", json=order, headers=headers)
        return KeyView.model_validate(body)

    def keys(self) -> list[KeyView]:
        """All keys, without their secrets."""
        body = self._transport.json("GET", "/v1/keys")
        return [KeyView.model_validate(one) for one in body["keys"]]

    def revoke_key(self, key_id: str) -> None:
        """Let a key end."""
        self._transport.json("DELETE", f"/v1/keys/{key_id}")

    # The service itself

    def limits(self) -> dict[str, Any]:
        """Every bound of this service."""
        return dict(self._transport.json("GET", "/v1/limits"))

    def health(self) -> dict[str, Any]:
        """Whether predictions can be made now, and what is missing if not."""
        return dict(self._transport.once("GET", "/health/ready").json())

    def _most(self, total: int) -> int:
        """Structures a call: a few calls keep all workers busy and show progress."""
        return total if total <= SMALL_CALL else min(MOST_A_CALL, math.ceil(total / IN_FLIGHT))


def version_of(body: Mapping[str, Any]) -> ModelVersion:
    """The model version in the forms an answer can have."""
    found = body.get("model") or body
    if "card" not in found:  # a model with all its versions, the newest first
        found = found["items"][0]
    return ModelVersion.model_validate(found)


class Call:
    """One `predict`: its requests, some at a time, and their records in order."""

    def __init__(
        self, follower: Follower, form: dict[str, Any], progress: OnProgress | None, total: int
    ) -> None:
        self.transport = follower.transport
        self.form = form
        self.progress = progress
        self.total = total
        self.done: dict[int, Progress] = {}
        self.jobs: dict[int, str] = {}
        self.over = threading.Event()  # nobody waits for the other requests once one has failed
        self.follower = Follower(self.transport.until(self.over))

    def run(self, chunks: list[list[Source]]) -> Records:
        """All records. Raises the first fault, after cancelling what still runs."""
        if not chunks:
            return Records()
        if self.progress is not None:
            self.progress(Progress(0, self.total, 0))
        try:
            with ThreadPoolExecutor(IN_FLIGHT, "matprop") as pool:
                calls = [
                    pool.submit(self.one, number, chunk) for number, chunk in enumerate(chunks)
                ]
                try:
                    first_fault(calls)
                except BaseException as error:
                    self.give_up(error)
                    raise
        except Unreachable:
            raise  # what was accepted goes on and can be resumed
        except BaseException:
            self.cancel()
            raise
        return numbered(call.result() for call in calls)

    def one(self, number: int, chunk: list[Source]) -> Records:
        """The records of one request, whether they come at once or later."""
        wait_s = 1 if self.progress else POST_WAIT_S
        self.follower.transport.go_on()
        body = self.follower.post(self.form, chunk, wait_s=wait_s)
        self.jobs[number] = body["job"]
        if body["status"] == JobStatus.SUCCEEDED and body.get("records"):
            records = self.follower.pages(body)
        else:
            records = self.follower.records(body["job"], lambda now: self.tell(number, now))
        names = places([record.name for record in records], chunk)
        for record, name in zip(records, names, strict=True):
            record.rename(name)
        failed = sum(record.status == "failed" for record in records)
        self.tell(number, Progress(len(records), len(records), failed))
        self.jobs.pop(number, None)
        return records

    def tell(self, number: int, now: Progress) -> None:
        """Add one request's progress to the others'."""
        self.follower.transport.go_on()
        self.done[number] = now
        if self.progress is not None:
            parts = list(self.done.values())
            done = sum(part.done for part in parts)
            total = max(self.total, done, sum(part.total for part in parts))
            self.progress(Progress(done, total, sum(part.failed for part in parts)))

    def give_up(self, error: BaseException) -> None:
        """Stop waiting for the other requests."""
        if isinstance(error, Unreachable):
            error.jobs = tuple(self.jobs.values())
        self.over.set()

    def cancel(self) -> None:
        """Cancel what runs on; to be called when no request is on its way any more."""
        for job in list(self.jobs.values()):
            with suppress(ServiceError):
                self.transport.json("POST", f"/v1/jobs/{job}/cancel")


def first_fault(calls: list[Future[Records]]) -> None:
    """Wait for all, or for the first that fails."""
    waiting = set(calls)
    while waiting:
        ended, waiting = wait(waiting, return_when=FIRST_COMPLETED)
        for call in ended:
            call.result()


def numbered(parts: Iterable[Records]) -> Records:
    """One list with its own count."""
    records = Records(record for part in parts for record in part)
    for index, record in enumerate(records):
        record.index = index
    return records
