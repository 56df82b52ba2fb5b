"""What people do with the service, from the first call to the worst day."""

import io
import json
import threading
import time
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch

from tests.journeys.conftest import kill

SITE, EDGE, WIDTH, HIDDEN = 92, 41, 16, 24


def published(path: Path, outputs: int = 1) -> bytes:
    """A checkpoint in the layout of the released CGCNN code, with random weights."""
    torch.manual_seed(0)
    layers = {
        "embedding": (WIDTH, SITE),
        "conv_to_fc": (HIDDEN, WIDTH),
        "fc_out": (outputs, HIDDEN),
    }
    state: dict[str, torch.Tensor] = {}
    for k in range(2):
        layers[f"convs.{k}.fc_full"] = (2 * WIDTH, 2 * WIDTH + EDGE)
        for norm, size in (("bn1", 2 * WIDTH), ("bn2", WIDTH)):
            name = f"convs.{k}.{norm}"
            state |= {f"{name}.weight": torch.ones(size), f"{name}.bias": torch.zeros(size)}
            state |= {
                f"{name}.running_mean": torch.zeros(size),
                f"{name}.running_var": torch.ones(size),
            }
            state[f"{name}.num_batches_tracked"] = torch.tensor(1)
    for name, shape in layers.items():
        state[f"{name}.weight"] = torch.randn(shape) / shape[1] ** 0.5
        state[f"{name}.bias"] = torch.zeros(shape[0])
    args = {"atom_fea_len": WIDTH, "h_fea_len": HIDDEN, "n_conv": 2, "n_h": 1, "task": "regression"}
    normalizer = {"mean": torch.tensor(-1.5), "std": torch.tensor(0.8)}
    content = {"epoch": 3, "state_dict": state, "best_mae_error": torch.tensor(0.1)}
    torch.save(content | {"optimizer": {}, "normalizer": normalizer, "args": args}, path)
    return path.read_bytes()


def numbers_of(running: Any) -> dict[str, float]:
    """The unlabelled and labelled samples of /metrics."""
    text = running.call("GET", "/metrics")[2].decode()
    lines = [line.rsplit(" ", 1) for line in text.splitlines() if line and line[0] != "#"]
    return {name: float(value) for name, value in lines}


def until(true: Callable[[], bool], patience_s: float = 60) -> None:
    deadline = time.monotonic() + patience_s
    while not true():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.2)


def test_up_prints_a_prediction_and_how_to_make_it(running: Any) -> None:
    text = "".join(running.printed)
    assert "eV/atom" in text
    assert "curl" in text
    assert running.url in text


def test_a_structure_in_a_property_out(running: Any, rock_salt: Callable[..., bytes]) -> None:
    [record] = running.predict(("POSCAR", rock_salt(5.64)))["records"]
    assert record["formula"] == "NaCl"
    [answer] = record["predictions"]
    assert answer["unit"] == "eV/atom"
    assert -4 < answer["value"] < 1


def test_one_bad_structure_never_fails_the_others(
    running: Any, rock_salt: Callable[..., bytes]
) -> None:
    files = [
        ("good.vasp", rock_salt(5.7)),
        ("bad.cif", b"\x89PNG\r\n\x1a\n"),
        ("fine.vasp", rock_salt(5.8)),
    ]
    good, bad, fine = running.predict(*files)["records"]
    assert (good["status"], bad["status"], fine["status"]) == ("succeeded", "failed", "succeeded")
    assert bad["error"]["code"] == "unknown_format"
    assert bad["error"]["hint"]


def test_an_answer_does_not_depend_on_its_company(
    running: Any, rock_salt: Callable[..., bytes]
) -> None:
    files = [(f"{i}.vasp", rock_salt(5 + i / 100, "K", "Br")) for i in range(40)]
    together = [r["predictions"][0]["value"] for r in running.predict(*files)["records"]]
    shifted = [(n, d.replace(b"rock salt", b"again")) for n, d in files]
    alone = [running.predict(f)["records"][0]["predictions"][0]["value"] for f in shifted[::8]]
    np.testing.assert_allclose(alone, together[::8], atol=1e-6)


def test_the_same_structure_is_computed_once(running: Any, rock_salt: Callable[..., bytes]) -> None:
    def counted(kind: str) -> float:
        return numbers_of(running).get(f'matprop_cache_{kind}_total{{cache="answers"}}', 0.0)

    time.sleep(2)  # workers tell their figures once a second
    hits, misses = counted("hits"), counted("misses")
    first = running.predict(("a.vasp", rock_salt(5.123)))
    until(lambda: counted("misses") == misses + 1)
    again = running.predict(("b.vasp", rock_salt(5.123).replace(b"rock", b"ROCK")))
    until(lambda: counted("hits") == hits + 1)
    assert counted("misses") == misses + 1
    assert again["records"][0]["predictions"] == first["records"][0]["predictions"]


def test_a_zip_of_structures_is_answered_member_by_member(
    running: Any, rock_salt: Callable[..., bytes]
) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for i in range(30):
            archive.writestr(f"set/{i}.vasp", rock_salt(5.5 + i / 50))
    records = running.predict(("set.zip", packed.getvalue()))["records"]
    assert [r["name"] for r in records] == [f"set.zip/set/{i}.vasp" for i in range(30)]
    assert {r["status"] for r in records} == {"succeeded"}


def test_site_contributions_sum_to_the_answer(
    running: Any, rock_salt: Callable[..., bytes]
) -> None:
    structures = [{"name": "salt", "format": "poscar", "text": rock_salt(5.6).decode()}]
    order = {
        "structures": structures,
        "models": ["formation-energy"],
        "include": ["sites", "features"],
    }
    status, _, body = running.call(
        "POST", "/v1/predictions", json.dumps(order).encode(), Content_Type="application/json"
    )
    assert status == 200, body
    [record] = body["records"]
    [answer] = record["predictions"]
    assert len(answer["features"]) > 1
    parts = [sum(site["contributions"].values()) for site in record["sites"]]
    assert len(parts) == 8
    np.testing.assert_allclose(sum(parts), answer["value"], atol=1e-4)


def test_an_imported_checkpoint_is_a_model_like_any_other(
    running: Any, rock_salt: Callable[..., bytes], tmp_path: Path
) -> None:
    data = published(tmp_path / "mine.pth.tar")
    fields = [("name", "my-model"), ("property", "formation-energy-per-atom"), ("unit", "eV/atom")]
    parts = [(name, None, value.encode()) for name, value in fields]
    status, _, body = running.form(
        "/v1/models", ("file", "mine.pth.tar", data), *parts, Prefer="wait=60"
    )
    assert status in (200, 201), body
    listed = running.call("GET", "/v1/models")[2]
    assert "my-model" in json.dumps(listed)
    status, _, _ = running.call(
        "PUT",
        "/v1/models/my-model/aliases/prod",
        b'{"version": 1}',
        Content_Type="application/json",
    )
    assert status in (200, 201, 204)
    [record] = running.predict(("x.vasp", rock_salt(5.6)), model="my-model@prod")["records"]
    assert record["predictions"][0]["model"] == "my-model@1"
    assert record["predictions"][0]["value"] is not None


def test_a_checkpoint_that_carries_code_is_refused_and_never_runs(
    running: Any, tmp_path: Path
) -> None:
    canary = tmp_path / "canary"

    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (canary,))

    torch.save({"state_dict": {}, "args": Bomb()}, tmp_path / "bomb.pth.tar")
    parts = [
        ("file", "bomb.pth.tar", (tmp_path / "bomb.pth.tar").read_bytes()),
        ("name", None, b"bomb"),
    ]
    status, _, body = running.form("/v1/models", *parts, Prefer="wait=60")
    assert 400 <= status < 500, body
    assert "bad_checkpoint" in json.dumps(body)
    assert not canary.exists()


def test_work_in_hand_survives_its_workers(running: Any, rock_salt: Callable[..., bytes]) -> None:
    ended: list[dict[str, Any]] = []

    def call(start: int) -> None:
        files = [(f"{i}.vasp", rock_salt(6 + i / 1e4)) for i in range(start, start + 50)]
        ended.append(running.predict(*files))

    threads = [threading.Thread(target=call, args=(1000 * k,)) for k in range(6)]
    for thread in threads:
        thread.start()
    for queue in ("infer", "parse"):
        kill(running.at_work(f"-Q {queue}"))
    for thread in threads:
        thread.join(120)
    assert len(ended) == 6
    assert {r["status"] for body in ended for r in body["records"]} == {"succeeded"}


def test_without_its_broker_it_says_so_and_comes_back(
    start: Callable[..., Any], rock_salt: Callable[..., bytes]
) -> None:
    running = start("--workers", "1")
    running.wait_ready()
    parts = [("files", "a.vasp", rock_salt(5.9)), ("model", None, b"formation-energy")]
    status, head, accepted = running.form("/v1/predictions", *parts, Prefer="respond-async")
    assert status == 202
    [broker] = [
        p for p in running.children("valkey") + running.children("redis") if p.is_running()
    ][:1]
    broker.suspend()
    status, head, body = running.form("/v1/predictions", *parts)
    assert status == 503, body
    assert int(head["retry-after"]) > 0
    broker.kill()
    running.wait_ready()
    path = f"/v1/jobs/{accepted['job']}"
    until(lambda: running.call("GET", path)[2].get("status") == "succeeded")
    assert running.predict(("a.vasp", rock_salt(5.95)))["status"] == "succeeded"


def lives(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def test_it_ends_all_that_it_started(start: Callable[..., Any]) -> None:
    running = start("--workers", "1")
    started = psutil.Process(running.process.pid).children(recursive=True)
    assert len(started) >= 5
    running.stop()
    until(lambda: not any(lives(process) for process in started), patience_s=10)


def test_a_model_travels_as_a_file(running: Any, rock_salt: Callable[..., bytes]) -> None:
    status, head, file = running.call("GET", "/v1/models/formation-energy/versions/1/file")
    assert status == 200
    assert 'filename="formation-energy-1.zip"' in head["content-disposition"]

    parts = (("file", "model.zip", file), ("name", None, b"travelled"))
    status, _, body = running.form("/v1/models", *parts, Prefer="wait=60")

    assert status == 201, body
    values = [
        running.predict(("POSCAR", rock_salt(5.64)), model=model)["records"][0]["predictions"][0][
            "value"
        ]
        for model in ("formation-energy@1", "travelled")
    ]
    assert values[0] == values[1]
