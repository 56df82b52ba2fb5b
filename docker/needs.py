"""What extras of the project need of others, one requirement a line: `needs.py service client s3`."""  # noqa: INP001 (a program of the build, no package)

import sys
import tomllib
from pathlib import Path


def needs(extras: list[str]) -> list[str]:
    """The requirements shared by all and those of the extras."""
    project = tomllib.loads(Path("pyproject.toml").read_text("utf-8"))["project"]
    optional = project["optional-dependencies"]
    return [*project["dependencies"], *(need for extra in extras for need in optional[extra])]


if __name__ == "__main__":
    sys.stdout.write("\n".join(needs(sys.argv[1:])) + "\n")
