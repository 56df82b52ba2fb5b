"""Screenings from Python: sent as streams, followed, and their tables read row by row or as files."""

import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypedDict
from urllib.parse import urlencode

import httpx2

from service.client_errors import Problem, ServiceError, UnreadableInput
from service.client_follow import Follower
from service.client_inputs import Source, sources_of
from service.client_records import Progress
from service.schemas.screening import ColumnsView, ColumnView, FailedItem, RowsPage, ScreeningView

PAGE = 1_000
FORM_OF_SUFFIX = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}
CHUNK_BYTES = 1 << 16
BROKEN = 5  # downloads in a row that bring nothing
OnProgress = Callable[[Progress], None]


class ScreeningOptions(TypedDict, total=False):
    """How structures are to be read and answered; see `POST /v1/screenings`."""

    format: str | None
    disorder: str
    primitive: bool
    level: float | None
    adsorbate: str | int | None
    label: str | None


class Question(TypedDict, total=False):
    """Which rows of a table; see `GET /v1/screenings/{job}/results`."""

    where: str | None
    sort: str | Sequence[str] | None
    top: int | None
    columns: str | Sequence[str] | None


class Rows:
    """Rows of a table, fetched as they are needed; each a dictionary."""

    def __init__(self, follower: Follower, job: str, question: Question) -> None:
        self._follower = follower
        self.job = job
        self._query = query_of(question)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for page in self.pages():
            yield from page.rows

    def pages(self, limit: int = PAGE) -> Iterator[RowsPage]:
        """The same, page by page; each tells whether the screening goes on."""
        path: str | None = f"/v1/screenings/{self.job}/results"
        query: dict[str, Any] | None = {**self._query, "limit": limit}
        while path:
            page = RowsPage.model_validate(
                self._follower.transport.json("GET", path, params=query, answer_s=60.0)
            )
            yield page
            path, query = page.links.next, None

    def count(self) -> int:
        """How many rows the filter keeps, whatever `top` is."""
        path = f"/v1/screenings/{self.job}/results"
        query = {**self._query, "limit": 1, "count": "true"}
        body = self._follower.transport.json("GET", path, params=query, answer_s=60.0)
        return int(body["count"])

    def to_pandas(self) -> Any:
        """A pandas DataFrame of all rows."""
        import pandas as pd  # type: ignore[import-untyped,unused-ignore]

        return pd.DataFrame(list(self))

    def save(self, path: str | Path) -> Path:
        """Writes all rows to a file, by its ending `.csv`, `.jsonl` or `.parquet`; a broken download goes on.

        Raises: UnreadableInput for another ending.
        """
        target = Path(path)
        form = FORM_OF_SUFFIX.get(target.suffix.lower())
        if form is None:
            raise UnreadableInput(f"{target}: a table is written as {', '.join(FORM_OF_SUFFIX)}")
        query = urlencode({**self._query, "format": form})
        part = target.with_name(f".{target.name}.part")
        try:
            self._download(f"/v1/screenings/{self.job}/results?{query}", part)
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
        return target

    def _download(self, path: str, part: Path) -> None:
        """As many requests as it takes; each goes on where the one before broke."""
        transport, broken, tag = self._follower.transport, 0, ""
        part.write_bytes(b"")
        while True:
            size = part.stat().st_size
            headers = {"Accept-Encoding": "identity"}
            headers |= {"Range": f"bytes={size}-", "If-Range": tag} if size and tag else {}
            try:
                with transport.stream(path, headers, answer_s=600.0) as answer:
                    tag = answer.headers.get("ETag", "")
                    whole = answer.status_code != httpx2.codes.PARTIAL_CONTENT
                    with part.open("wb" if whole else "ab") as file:
                        for chunk in answer.iter_bytes():
                            file.write(chunk)
                            broken = 0
            except httpx2.TransportError as error:
                broken += 1
                if broken > BROKEN:
                    raise ServiceError(f"the download broke again and again: {error}") from error
            except Problem as problem:
                if problem.status not in (429, 503) or broken >= BROKEN:
                    raise
                broken += 1
            else:
                return
            transport.sleep(min(0.2 * 2**broken, 10.0))


class Screenings:
    """What can be done with screenings."""

    def __init__(self, follower: Follower) -> None:
        self.follower = follower
        self.transport = follower.transport

    def submit(
        self,
        structures: Any,
        models: Sequence[str],
        *,
        dataset: str | None,
        location: str | None,
        options: ScreeningOptions,
    ) -> str:
        """Sends the order, and the files if there are any; the new job's id."""
        given = {name: value for name, value in options.items() if value is not None}
        if structures is None:
            body = {"models": list(models), "dataset": dataset, "location": location, **given}
            if "adsorbate" in body:
                body["adsorbate"] = str(body["adsorbate"])
            return self._sent(json={key: value for key, value in body.items() if value is not None})
        if dataset is not None or location is not None:
            raise UnreadableInput(
                "a screening has one source: structures, a data set or a location"
            )
        sources = sources_of(structures)
        if not sources:
            raise UnreadableInput("nothing to screen was given")
        form = {"model": list(models), **{name: worded(value) for name, value in given.items()}}
        seconds = 60.0 + sum(one.size_bytes for one in sources) / 1_000_000
        with ExitStack() as stack:
            files = [("files", (one.sent_as, opened(one, stack), "application/octet-stream")) for one in sources]  # fmt: skip
            return self._sent(data=form, files=files, answer_s=seconds)

    def view(self, job: str) -> ScreeningView:
        """What was asked, and where it stands."""
        return ScreeningView.model_validate(self.transport.json("GET", f"/v1/screenings/{job}"))

    def columns(self, job: str) -> list[ColumnView]:
        """The columns of its table."""
        body = self.transport.json("GET", f"/v1/screenings/{job}/columns")
        return ColumnsView.model_validate(body).columns

    def failed(self, job: str) -> Iterator[FailedItem]:
        """The structures that failed, each with its problem."""
        path: str | None = f"/v1/screenings/{job}/errors?limit={PAGE}"
        while path:
            page = self.transport.json("GET", path)
            yield from map(FailedItem.model_validate, page["errors"])
            path = page["links"].get("next")

    def follow(self, job: str, progress: OnProgress | None) -> None:
        """To the job's end. Raises JobFailed, JobCancelled."""
        if progress is not None:
            for event in self.follower.events(job):
                if event.kind == "progress":
                    data = event.data
                    progress(Progress(int(data.get("done") or 0), int(data.get("total") or 0), int(data.get("failed") or 0)))  # fmt: skip
        self.follower.wait(job)

    def _sent(self, **parts: Any) -> str:
        """Files go as streams; sent again they are read from their beginning."""
        headers = {"Idempotency-Key": str(uuid.uuid4())}
        return str(self.transport.json("POST", "/v1/screenings", headers=headers, **parts)["id"])


def opened(source: Source, stack: ExitStack) -> Any:
    """A large file as a stream, the rest as it is: a thousand small ones are not held open."""
    content = source.content
    if isinstance(content, Path) and source.size_bytes > CHUNK_BYTES:
        return stack.enter_context(content.open("rb"))
    return source.read()


def worded(value: object) -> str:
    """A value as a form has it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def query_of(question: Question) -> dict[str, Any]:
    """The question as a query; lists of columns get their commas."""
    return {
        name: ",".join(value) if isinstance(value, list | tuple) else value
        for name, value in question.items()
        if value is not None
    }
