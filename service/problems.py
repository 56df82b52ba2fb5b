"""Every error a client can meet, as RFC 9457 problem details: one table from error to status."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import orjson

from models import errors

if TYPE_CHECKING:
    from starlette.responses import Response

MEDIA_TYPE = "application/problem+json"

# What is wrong with a structure, a checkpoint or the name of a model.
STATUS: dict[type[errors.MatpropError], int] = {
    errors.InputError: 422,
    errors.EmptyInput: 422,
    errors.UnknownFormat: 415,
    errors.UnreadableStructure: 422,
    errors.BadArchive: 422,
    errors.TooLarge: 413,
    errors.ParserLimit: 422,
    errors.DisorderedStructure: 422,
    errors.UnknownElement: 422,
    errors.ImpossibleGeometry: 422,
    errors.UnsupportedElement: 422,
    errors.IsolatedSite: 422,
    errors.BadCheckpoint: 422,
    errors.UnknownModel: 404,
    errors.WrongUnit: 422,
    errors.BadSetting: 422,
    errors.BadDataset: 422,
    errors.UnfitDataset: 422,
    errors.UnknownDataset: 404,
    errors.UnfitStructure: 422,
    errors.SourceChanged: 422,
    errors.ModelError: 500,
    errors.DamagedModel: 500,
    errors.OutOfMemory: 500,
    errors.Diverged: 500,
    errors.WorkLost: 500,
    errors.StoreAway: 503,
    errors.StoreFull: 507,
}

# What helps against each, where the error itself has no better hint.
CURES: dict[str, str] = {
    "invalid_input": "The detail says what it can be.",
    "empty_input": "Send a file that holds something.",
    "unknown_format": "Send CIF, POSCAR, extxyz, pymatgen JSON, OPTIMADE JSON, or an archive of these.",
    "unreadable_structure": "Compare the named place of the file with what is expected there; "
    "if it is of another kind than it looks, say so by `format`.",
    "bad_archive": "Pack the files again, as a plain zip or tar.",
    "too_large": "Send less at once; /v1/limits has the bounds.",
    "parser_limit": "Send a simpler file of the same crystal, for example its primitive cell.",
    "disordered_structure": "Send an ordered structure, or `disorder=majority`.",
    "unknown_element": "Put in the symbol of a real element.",
    "impossible_geometry": "Check the cell (lengths in Å, angles in degrees) and the coordinates.",
    "unsupported_element": "Send elements from H to Fm; of a model of images, those that its answer names.",
    "isolated_site": "Is this a molecule in an empty box, or are lengths given in another unit than Å?",
    "bad_checkpoint": "Send the file as the training program wrote it.",
    "unknown_model": "GET /v1/models lists the models, their versions and their aliases.",
    "wrong_unit": "Send the unit that is expected, or leave the field out.",
    "bad_setting": "GET /v1/models/families/{family} lists the settings with their bounds.",
    "bad_dataset": "Compare the file with the layouts in docs/how-to/data-sets.md.",
    "unfit_dataset": "GET /v1/datasets/{id} lists the columns with what they hold.",
    "unknown_dataset": "GET /v1/datasets lists the data sets.",
    "source_changed": "Screen it once more, and leave the place as it is until the screening has ended.",
    "unfit_structure": "Ask a model of a family that reads such structures.",
    "damaged_model": "Its files have to be put back by who runs this service.",
    "out_of_memory": "Send a smaller cell of the same crystal.",
    "diverged": "Lower the learning rate, or look for labels that are wrong by orders of magnitude.",
    "store_unavailable": "Try again after Retry-After seconds.",
    "storage_full": "Try again later; we need to make room.",
    "worker_lost": "Send the structures in smaller parts, to find the one that does this.",
}

# What is wrong with the request itself, or with the moment: code → status, title, what to do about it.
DOOR: dict[str, tuple[int, str, str]] = {
    "bad_request": (
        400,
        "The request breaks the rules of HTTP",
        "Check the client or the proxy between.",
    ),
    "malformed_json": (
        400,
        "The body is not JSON",
        "JSON has no NaN and no Infinity, and is UTF-8.",
    ),
    "malformed_multipart": (
        400,
        "The form is damaged",
        "Let the HTTP library write the form and its Content-Type with the boundary.",
    ),
    "invalid_cursor": (400, "The cursor is not one of ours", "Use `links.next` as it was given."),
    "unauthorized": (401, "A key is needed", "Send `Authorization: Bearer mp_…`."),
    "forbidden": (403, "The key may not do this", "Use a key with the scope that `detail` names."),
    "location_not_allowed": (
        403,
        "Nothing is read from there",
        "Send the files, or ask who runs this service to allow the place by MATPROP_INPUT_ROOTS.",
    ),
    "host_not_allowed": (
        403,
        "This host name is not served",
        "Use http://127.0.0.1 or http://localhost, or set MATPROP_ALLOWED_HOSTS.",
    ),
    "cross_site": (
        403,
        "Another site's page sent this",
        "A service without keys takes no changes from pages of other origins.",
    ),
    "not_found": (404, "There is nothing here", "See / for what there is."),
    "unknown_job": (
        404,
        "No such job",
        "Jobs are seen by their owner only, and kept for a limited time.",
    ),
    "unknown_key": (404, "No such key", "List the keys at /v1/keys."),
    "no_elements": (
        409,
        "This model has no table of elements",
        "Train with `readout=linear`, or a model of sites: their answers are told site by site.",
    ),
    "unknown_family": (404, "No such model family", "The detail names the families there are."),
    "method_not_allowed": (
        405,
        "This address does not take this method",
        "The Allow header says which.",
    ),
    "receive_timeout": (408, "The request came too slowly", "Send it again, in smaller parts."),
    "conflict": (409, "Not in this state", "Look at the job's status first."),
    "idempotency_running": (
        409,
        "The first request of this key still runs",
        "Wait, then send it again.",
    ),
    "body_too_large": (
        413,
        "The body is too large",
        "Send fewer files a call; /v1/limits has the bounds.",
    ),
    "too_many_files": (413, "Too many files in one call", "Send a zip archive, or several calls."),
    "unsupported_media_type": (
        415,
        "Bodies of this type are not read",
        "Send multipart/form-data or JSON.",
    ),
    "missing_field": (422, "A field is missing", "The detail names it."),
    "unknown_field": (422, "A field that does not exist", "The detail names those there are."),
    "invalid_field": (422, "A field has a value it cannot have", "The detail says what it can be."),
    "invalid_filter": (
        422,
        "The filter cannot be read",
        "docs/how-to/screen.md has all words of filters.",
    ),
    "unknown_column": (
        422,
        "The table has no such column",
        "The detail or GET …/columns names those there are.",
    ),
    "query_too_heavy": (
        422,
        "The table cannot answer this in the time and memory there is",
        "Ask for fewer columns, sort by one of them, or fetch the table as a file (`format=parquet`).",
    ),
    "no_structure_predicted": (
        422,
        "None of the structures could be predicted",
        "Each of the errors says why, and what helps.",
    ),
    "idempotency_mismatch": (
        422,
        "This Idempotency-Key came with another body",
        "Use a new key for a new request.",
    ),
    "quota_exceeded": (
        429,
        "The quota of this key is used up",
        "Wait as long as Retry-After says.",
    ),
    "head_too_large": (
        431,
        "The head of the request is too large",
        "Send fewer or shorter headers.",
    ),
    "internal": (500, "An error of ours", "Tell us the request id; it is in our log."),
    "broker_unavailable": (
        503,
        "The queue cannot be reached",
        "Try again after Retry-After seconds.",
    ),
    "queue_full": (503, "Too many jobs wait", "Try again after Retry-After seconds."),
    "no_worker": (503, "No worker is there to do this", "Try again after Retry-After seconds."),
    "busy": (503, "Too many requests at once", "Try again after Retry-After seconds."),
    "shutting_down": (503, "The service is about to stop", "Try again after Retry-After seconds."),
}

RETRY_AFTER_S = {
    "broker_unavailable": 5,
    "store_unavailable": 5,
    "queue_full": 5,
    "no_worker": 5,
    "busy": 2,
    "shutting_down": 5,
}


def codes() -> dict[str, tuple[int, str, str]]:
    """Every code a client can meet: its status, title and cure."""
    ours = {
        cls.code: (
            status,
            " ".join((cls.__doc__ or cls.code).split()).rstrip("."),
            CURES[cls.code],
        )
        for cls, status in STATUS.items()
        if cls.code != "internal"
    }
    return ours | DOOR


class Problem(Exception):
    """An answer that is an error."""

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        hint: str | None = None,
        errors: Sequence[Mapping[str, Any]] = (),
        headers: Mapping[str, str] | None = None,
        status: int | None = None,
        **members: Any,
    ) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.hint = hint
        self.errors = errors
        self.headers = dict(headers or {})
        self.members = members
        self.status = status or CODES[code][0]
        if code in RETRY_AFTER_S:
            self.headers.setdefault("Retry-After", str(RETRY_AFTER_S[code]))

    @classmethod
    def of(cls, error: errors.MatpropError, **members: Any) -> "Problem":
        """The problem that one of our errors makes of the whole request."""
        if isinstance(error, errors.ModelError):
            return cls(error.code, error.detail, status=STATUS[type(error)], **members)
        parts = error.as_dict()
        named = {key: parts[key] for key in ("file", "place", "expected", "got") if key in parts}
        return cls(error.code, error.detail, hint=error.hint, errors=[parts], **named, **members)

    def body(self, request_id: str) -> dict[str, Any]:
        """The members of the problem, those that are set."""
        _, title, cure = CODES[self.code]
        return {
            "type": f"/problems/{self.code}",
            "title": title,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
            "hint": self.hint or cure,
            "request_id": request_id,
            **({"errors": list(self.errors)} if self.errors else {}),
            **self.members,
        }

    def response(self, request_id: str) -> "Response":
        """The answer itself."""
        # Here: settings read this module, and a worker's machine has settings but no web framework.
        from starlette.responses import Response

        body = orjson.dumps(self.body(request_id))
        return Response(
            body, self.status, {"Cache-Control": "no-store", **self.headers}, MEDIA_TYPE
        )


CODES = codes()


def brief(text: object, limit: int = 100) -> str:
    """What a stranger sent, short and printable, for a message that names it."""
    shown = "".join(sign if sign.isprintable() else "·" for sign in str(text)[: limit + 1])
    return shown if len(shown) <= limit else shown[:limit] + "…"
