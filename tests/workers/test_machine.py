"""What `matprop up` starts, and what it refuses to start."""

import socket
from pathlib import Path

import pytest

from workers.contract import Queue
from workers.embedded import Broker
from workers.machine import alone, environment_of, free_port, programs
from workers.supervisor import StartError


def test_every_queue_has_a_worker_of_its_own() -> None:
    found = {one.name: one for one in programs(Broker("redis://there"), {}, 2)}
    assert set(found) == {*Queue, "service"}
    for queue in Queue:
        argv = found[queue].argv
        assert argv[argv.index("-Q") + 1] == queue


def test_as_many_trainings_run_at_once_as_are_set() -> None:
    found = {one.name: one.argv for one in programs(Broker("redis://there"), {}, 2, 3)}
    assert [found[queue][found[queue].index("-c") + 1] for queue in ("parse", "train")] == [
        "2",
        "3",
    ]


def test_our_own_broker_is_started_first_and_ended_last(tmp_path: Path) -> None:
    broker = Broker("unix:///s", tmp_path / "server", tmp_path / "conf", tmp_path / "lock")
    found = programs(broker, {}, 2)
    assert found[0].name == "broker"
    assert found[0].stage < min(one.stage for one in found[1:])


def test_the_users_own_settings_stay() -> None:
    told = environment_of(
        {"OMP_NUM_THREADS": "4", "MATPROP_DEVICE": "cpu", "MATPROP_PORT": "1"},
        url="redis://there",
        state=Path("/state"),
        host="127.0.0.1",
        port=8000,
    )
    assert told["OMP_NUM_THREADS"] == "4"
    assert told["MKL_NUM_THREADS"] == "1"
    assert told["MATPROP_DEVICE"] == "cpu"
    assert told["MATPROP_PORT"] == "8000"


def test_a_taken_port_is_refused_with_the_way_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StartError, match=rf"(?s){port}: address already in use.*--port"):
            free_port("127.0.0.1", port)


def test_port_0_is_any_free_one() -> None:
    assert free_port("127.0.0.1", 0) > 1023


def test_an_address_of_no_machine_is_told() -> None:
    with pytest.raises(StartError, match="no address of this machine"):
        free_port("host.invalid", 8000)


def test_a_second_up_on_one_state_folder_is_refused(tmp_path: Path) -> None:
    with (
        alone(tmp_path),
        pytest.raises(StartError, match=r"(?s)another `matprop up`.*--state"),
        alone(tmp_path),
    ):
        pass


def test_a_state_folder_is_free_again_after_its_holder(tmp_path: Path) -> None:
    with alone(tmp_path) as killed_before:
        assert not killed_before
    with alone(tmp_path) as killed_before:
        assert not killed_before


def test_the_remains_of_a_killed_holder_are_noticed(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("4194305")
    with alone(tmp_path) as killed_before:
        assert killed_before


def test_a_state_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(StartError, match="cannot write to the state folder"),
        alone(tmp_path / "file" / "state"),
    ):
        pass
