"""Which versions run in a process: told by every worker, compared by `matprop doctor`."""

import platform
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

PACKAGES = ("matprop", "celery", "redis", "pydantic", "numpy", "torch", "pymatgen")


@cache
def versions() -> dict[str, str]:
    """By package; those that are not installed are left out."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def about_process() -> dict[str, Any]:
    """What a worker process tells of itself from its start on."""
    return {"versions": versions(), "platform": sys.platform}
