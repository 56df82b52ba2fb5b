"""The door of tests/service, for whatever strangers send."""

from collections.abc import Iterator
from typing import Any

import pytest

from service.settings import ServiceSettings
from tests.service.conftest import opened


@pytest.fixture(scope="module")
def door(shared_broker: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """One service for all cases of a module; short patience, because the worker is quick."""
    settings = ServiceSettings(
        redis_url=f"{shared_broker.url}?db=2",
        state=tmp_path_factory.mktemp("fuzz"),
        port=0,
        wait_default_s=2,
        wait_max_s=2,
        stream_s=1,
        log_level="WARNING",
    )
    with opened(settings) as running:
        yield running
