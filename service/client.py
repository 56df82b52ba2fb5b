"""matprop from Python: `Client().predict(["NaCl.cif"], model="formation-energy")`."""

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, Unpack

from service.client_calls import Call, OnProgress
from service.client_datasets import DatasetOptions, Datasets
from service.client_errors import ServiceError
from service.client_follow import Follower
from service.client_inputs import Source, sources_of
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
from service.schemas.job import JobView
from service.schemas.key import KeyView
from service.schemas.model import ElementsView, ModelSummary, ModelVersion, ModelView
from service.schemas.screening import ColumnView, FailedItem, ScreeningView
from service.schemas.training import TrainingView

__all__ = ["Client", "Event", "Progress", "Record", "Records", "ServiceError"]


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
        return Call(self._follower, form, progress, sources_of(structures)).run()

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


def version_of(body: Mapping[str, Any]) -> ModelVersion:
    """The model version in the forms an answer can have."""
    found = body.get("model") or body
    if "card" not in found:  # a model with all its versions, the newest first
        found = found["items"][0]
    return ModelVersion.model_validate(found)
