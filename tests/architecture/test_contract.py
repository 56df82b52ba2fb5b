"""One truth each: task names, error statuses, documented settings."""

import subprocess
import sys
from pathlib import Path

from models.errors import InputError, MatpropError, ModelError, error_classes
from models.families.kinds import KINDS
from models.families.recipes import NOT_TUNED
from models.settings.training import TrainingSettings
from service.problems import STATUS
from service.settings import ServiceSettings
from workers.contract import ORDER_OF, QUEUE_OF, Task
from workers.settings import WorkerSettings

ROOT = Path(__file__).parents[2]


def test_registered_tasks_are_those_of_the_contract() -> None:
    program = (
        "from workers.app import app\n"
        "print(*sorted(t for t in app.tasks if not t.startswith('celery.')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == sorted(Task)


def test_every_task_has_a_queue_and_an_order() -> None:
    assert set(QUEUE_OF) == set(ORDER_OF) == set(Task)


def subclasses(cls: type[MatpropError]) -> set[type[MatpropError]]:
    return {cls}.union(*(subclasses(child) for child in cls.__subclasses__()))


def test_every_public_error_has_a_status_and_a_code_of_its_own() -> None:
    classes = subclasses(InputError) | subclasses(ModelError)
    assert len({cls.code for cls in classes}) == len(classes)
    assert {cls.code for cls in classes} == set(error_classes())
    assert classes <= set(STATUS)


def test_no_input_error_is_a_fault_of_the_server() -> None:
    assert all(400 <= STATUS[cls] < 500 for cls in subclasses(InputError))


def test_every_setting_is_documented_at_its_definition() -> None:
    families = [part for kind in KINDS.values() for part in (kind.input, kind.network)]
    for settings in (WorkerSettings, ServiceSettings, TrainingSettings, *families):
        for name, field in settings.model_fields.items():
            assert field.description or name in NOT_TUNED, f"{settings.__name__}.{name}"


def test_every_setting_is_in_the_reference() -> None:
    reference = (ROOT / "docs/reference/configuration.md").read_text()
    for name in ServiceSettings.model_fields:
        assert f"MATPROP_{name.upper()}" in reference, name


def test_every_error_code_is_in_the_reference() -> None:
    reference = (ROOT / "docs/reference/errors.md").read_text()
    for code in error_classes():
        assert f"`{code}`" in reference, code
