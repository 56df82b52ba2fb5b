"""Errors on the wire (RFC 9457)."""

from pydantic import BaseModel, ConfigDict, Field


class ErrorItem(BaseModel):
    """One thing that is wrong, and where."""

    code: str = Field(description="Stable name of the error, for example `unreadable_structure`.")
    detail: str = Field(description="What is wrong, for people.")
    file: str | None = Field(
        None, description="The file (or archive member, or block) it is about."
    )
    pointer: str | None = Field(
        None, description="JSON pointer, or name of the form field, query or header."
    )
    place: str | None = Field(None, description="Line, site or value inside the file.")
    expected: str | None = Field(None, description="What should have been there.")
    got: str | None = Field(None, description="What was there.")
    hint: str | None = Field(None, description="What helps.")
    errors: list["ErrorItem"] | None = Field(
        None, description="Of a data set that was refused, its first bad rows."
    )


class ProblemView(BaseModel):
    """An error as `application/problem+json`."""

    model_config = ConfigDict(
        extra="allow",
        title="Problem",
        json_schema_extra={
            "examples": [
                {
                    "type": "/problems/unreadable_structure",
                    "title": "The file is of a known kind but breaks its rules",
                    "status": 422,
                    "detail": "line 14 has 2 numbers where a position has 3",
                    "code": "unreadable_structure",
                    "hint": "Write the position as three fractional coordinates.",
                    "request_id": "req_01JD3Q5T8Z6M4W2K7N9V1X3B5C",
                    "errors": [
                        {
                            "code": "unreadable_structure",
                            "detail": "line 14 has 2 numbers where a position has 3",
                            "file": "POSCAR",
                            "place": "line 14",
                            "expected": "3 numbers",
                            "got": "2",
                        }
                    ],
                }
            ]
        },
    )

    type: str = Field(
        description="Address of a page about this kind of error, relative to the service."
    )
    title: str = Field(description="The kind of error in one line; the same for every occurrence.")
    status: int = Field(ge=400, le=599, description="The HTTP status, again.")
    detail: str = Field(description="What is wrong this time.")
    code: str = Field(description="Stable name of the error, for programs.")
    hint: str | None = Field(None, description="What helps.")
    request_id: str = Field(
        description="The `X-Request-ID` of this request; it is in the service's log."
    )
    errors: list[ErrorItem] | None = Field(None, description="Each single thing that is wrong.")
