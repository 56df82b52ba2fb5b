"""What pip is set to on this machine, for a build: writes it to a file, prints what that file needs of the machine."""  # noqa: INP001 (a program of the build, no package)

import re
import subprocess
import sys
from ast import literal_eval
from pathlib import Path

HERE = {"find-links", "extra-index-url", "index-url", "cert", "trusted-host", "default-timeout"}
LINE = re.compile(r"(?P<place>[\w:]+)\.(?P<name>[\w-]+)=(?P<value>.+)")


def settings() -> dict[str, str]:
    """Where pip finds packages here; variables of the environment outdo files, as for pip itself."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    listed = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    lines = [match for match in map(LINE.fullmatch, listed.stdout.splitlines()) if match]
    lines.sort(key=lambda line: line["place"] == ":env:")
    return {
        line["name"]: str(literal_eval(line["value"])) for line in lines if line["name"] in HERE
    }


def places(found: dict[str, str]) -> list[str]:
    """Files and folders of this machine that the settings name."""
    words = [word.removeprefix("file://") for value in found.values() for word in value.split()]
    # The pages of an index in a folder point to the files beside it.
    named = {word.removesuffix("/").removesuffix("/simple") for word in words if word[0] == "/"}
    return sorted(place for place in named if Path(place).exists())


def main() -> None:
    """`pip_settings.py FILE`."""
    found = settings()
    lines = [f"{name} = {' '.join(value.split())}" for name, value in sorted(found.items())]
    Path(sys.argv[1]).write_text("\n".join(["[global]", *lines]) + "\n", "utf-8")
    sys.stdout.write("".join(f"{place}\n" for place in places(found)))


if __name__ == "__main__":
    main()
