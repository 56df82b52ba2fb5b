"""The committed contract, the process that serves it, and what it may load."""

import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import psutil

from service import openapi
from service.app import create
from service.settings import ServiceSettings

ROOT = Path(__file__).parents[2]


def operations() -> list[tuple[str, str, dict[str, Any]]]:
    found = create(ServiceSettings(admin_key=None)).openapi()
    return [
        (path, method, op) for path, item in found["paths"].items() for method, op in item.items()
    ]


def test_the_committed_contract_is_the_generated_one() -> None:
    assert (ROOT / "openapi.yaml").read_text() == openapi.text(), "run `make openapi`"


def test_every_operation_is_documented() -> None:
    for path, method, operation in operations():
        assert operation["summary"], path
        assert operation["description"], path
        assert operation["tags"], path
        for parameter in operation.get("parameters", []):
            named = parameter["name"] in ("job", "family", "key", "name", "version", "alias")
            assert named or parameter["description"], (path, method, parameter["name"])


def test_every_error_is_a_problem_document() -> None:
    for path, method, operation in operations():
        for status, answer in operation["responses"].items():
            if int(status) >= 400 and (path, status) != ("/health/ready", "503"):
                kinds = set(answer["content"])
                assert kinds == {"application/problem+json"}, (path, method, status)


def test_every_operation_tells_what_is_refused_before_it_is_known() -> None:
    for path, method, operation in operations():
        assert {"400", "408", "431"} <= set(operation["responses"]), (path, method)


def test_every_reference_leads_somewhere() -> None:
    found = create(ServiceSettings(admin_key=None)).openapi()
    text = openapi.text()
    names = {line.split("/")[-1].strip("'\" ") for line in text.splitlines() if "$ref" in line}
    assert names <= set(found["components"]["schemas"])


def test_the_process_refuses_arguments() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "service", "up", "--port", "0"],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert "'up --port 0'" in done.stderr
    assert "matprop up" in done.stderr


def test_the_process_is_small_and_knows_no_numbers(broker: Any, tmp_path: Path) -> None:
    program = (
        "import sys, atexit\n"
        "atexit.register(lambda: print('LOADED', *({'torch', 'numpy', 'pymatgen', 'scipy', 'gemmi'}"
        " & set(sys.modules)), file=sys.stderr))\n"
        "from service.__main__ import main\n"
        "sys.exit(main())\n"
    )
    environment = os.environ | {
        "MATPROP_REDIS_URL": broker.url, "MATPROP_STATE": str(tmp_path), "MATPROP_PORT": "0",
    }  # fmt: skip
    with subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        line = next(line for line in process.stderr if "running on" in line)
        url = line.split("running on ")[1].split()[0]
        with urllib.request.urlopen(f"{url}/openapi.json") as answer:
            assert answer.status == 200
        resident = psutil.Process(process.pid).memory_info().rss
        process.send_signal(signal.SIGTERM)
        last = process.stderr.read().splitlines()[-1]
    assert process.returncode == 0
    assert resident < 300_000_000
    assert last.split() == ["LOADED"]
