"""Data sets from Python: sent as streams, followed to their end."""

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypedDict

from service.client_errors import UnreadableInput
from service.client_follow import ENDED, Follower
from service.client_records import Progress
from service.schemas.dataset import BadRow, DatasetView

OnProgress = Callable[[Progress], None]


class DatasetOptions(TypedDict, total=False):
    """How a data set is to be read; see `POST /v1/datasets`."""

    name: str | None
    format: str | None
    coordinates: str | None
    columns: list[str] | None
    good_share: float | None
    label: str | None


class Datasets:
    """What can be done with data sets."""

    def __init__(self, follower: Follower) -> None:
        self.follower = follower
        self.transport = follower.transport

    def add(
        self, path: str | Path, options: DatasetOptions, progress: OnProgress | None
    ) -> DatasetView:
        """Send a file and wait for the set. Raises JobFailed, JobCancelled, Problem."""
        file = Path(path)
        if not file.is_file():
            raise UnreadableInput(f"no such file: {file}")
        form = {key: value for key, value in options.items() if value is not None}
        body = self._post(file, form, wait_s=1 if progress else 10)
        if body["status"] not in ENDED:
            job = self.follower.wait(body["job"], progress)
            found = self.transport.json("GET", str(job.links.results))
        else:
            found = body["dataset"]
        return DatasetView.model_validate(found)

    def page(self, **filters: Any) -> Iterator[DatasetView]:
        """The newest first, page after page."""
        path: str | None = "/v1/datasets"
        query = {key: value for key, value in filters.items() if value is not None} or None
        while path:
            page = self.transport.json("GET", path, params=query)
            yield from map(DatasetView.model_validate, page["datasets"])
            path, query = page["links"].get("next"), None

    def report(self, known: str) -> Iterator[BadRow]:
        """Every row that is not in a set."""
        path: str | None = f"/v1/datasets/{known}/report?limit=1000"
        while path:
            page = self.transport.json("GET", path)
            yield from map(BadRow.model_validate, page["rows"])
            path = page["links"].get("next")

    def _post(self, file: Path, form: dict[str, Any], wait_s: int) -> dict[str, Any]:
        """The file goes as a stream; sent again it is read from its beginning."""
        headers = {"Prefer": f"wait={wait_s}", "Idempotency-Key": str(uuid.uuid4())}
        seconds = wait_s + 30.0 + file.stat().st_size / 1_000_000
        with file.open("rb") as stream:
            files = [("file", (file.name, stream, "application/octet-stream"))]
            body: dict[str, Any] = self.transport.json(
                "POST", "/v1/datasets", headers=headers, data=form, files=files, answer_s=seconds
            )
        return body
