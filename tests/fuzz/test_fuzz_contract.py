"""Whatever the contract allows or forbids is sent; what comes back is what the contract says."""

import os
import re
from collections.abc import Callable
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from service.app import create
from service.settings import ServiceSettings
from tests.service.conftest import seen_alive
from workers.contract import Queue

CASES = int(os.environ.get("MATPROP_FUZZ_CASES", "12"))
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    unsupported_method,
]


schema = schemathesis.openapi.from_dict(create(ServiceSettings(admin_key=None)).openapi())


def contract(operation: str, cases: int) -> Callable[..., None]:
    """A test of one operation, under a name of its own: `schema.parametrize` gives all of them one id."""

    @schema.include(name=operation).parametrize()
    @settings(max_examples=cases, suppress_health_check=list(HealthCheck))
    def kept(case: Any, door: Any) -> None:
        case.call_and_validate(base_url=door.url, checks=CHECKS, timeout=10)

    return kept


for each in schema.get_all_operations():
    label = each.ok().label
    name = re.sub(r"\W+", "_", label).strip("_")
    globals()[f"test_{name}_keeps_the_contract"] = contract(label, CASES)
    globals()[f"test_{name}_keeps_the_contract_in_many_cases"] = pytest.mark.slow(
        contract(label, CASES * 40)
    )


def test_after_all_that_the_service_is_ready(door: Any) -> None:
    seen_alive(door.settings, tuple(Queue))
    assert door.client.get("/health/ready").status_code == 200
    job = door.predict(("NaCl.cif", b"good")).json()["job"]
    with door.client.stream("GET", f"/v1/jobs/{job}/events") as events:
        for line in events.iter_lines():
            if line == "event: done":
                break
    assert door.client.get(f"/v1/jobs/{job}").json()["status"] == "succeeded"
