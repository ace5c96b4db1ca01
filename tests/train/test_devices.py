"""Which of how many processes this is, from options and environment."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from rich.console import Console

from oddframe.config import Config
from oddframe.device import pick_device
from oddframe.errors import ConfigError
from oddframe.train.budget import Budget, Clocks
from oddframe.train.devices import Devices, Place, find_place, leads
from oddframe.train.drive import Job, _trainer
from oddframe.train.follow import follow
from oddframe.train.module import TrainConfig
from oddframe.train.progress import Watch
from oddframe.train.ranks import READY, Ranks

TORCHRUN = {
    "RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "4",
    "MASTER_ADDR": "far", "MASTER_PORT": "29500",
}  # fmt: skip
BY_HAND = {"MASTER_ADDR": "far", "MASTER_PORT": "29500", "NODE_RANK": "1"}


@pytest.fixture
def gpus(monkeypatch):
    def have(count):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)

    have(0)
    return have


@pytest.mark.parametrize(
    ("device", "root"), [("cuda:1", "cuda:1"), ("cuda:0", "cuda:0"), ("auto", "cuda:0")]
)
def test_a_training_is_on_the_device_that_was_asked_for(gpus, tmp_path, device, root):
    gpus(2)
    job = Job("mnad", Config(), TrainConfig(), None, Budget(), tmp_path, False, device)
    watch = Watch(tmp_path, Budget(), 1, Clocks.now(), Console(quiet=True))
    assert find_place(Devices(), device, 8) == Place()
    assert str(_trainer(job, watch, Place()).strategy.root_device) == root


def test_those_that_wait_go_where_nothing_is_left_to_train():
    leading = Ranks(Place(0, 2, 0, 1))
    port = leading.meet()
    leading.end(READY)
    follow(Place(1, 2, 0, 1, port=port))


@pytest.mark.parametrize("device", ["mps", "meta", "xpu", "cpu:3", "gpu"])
def test_a_device_that_nothing_here_is_made_for_is_refused(gpus, device):
    gpus(2)
    with pytest.raises(ConfigError, match=f"Unknown device '{device}'; expected cpu, cuda, cuda:N"):
        pick_device(device)
    assert str(pick_device("cpu")) == "cpu"


@pytest.mark.parametrize(
    ("asked", "environ", "place"),
    [
        pytest.param(Devices(), {}, Place(), id="nothing said: one"),
        pytest.param(Devices(2), {}, Place(ranks=2, here=2), id="two on the CPU"),
        pytest.param(Devices("2"), {}, Place(ranks=2, here=2), id="as the command line has it"),
        pytest.param(Devices("auto"), {}, Place(), id="auto without a GPU"),
        pytest.param(Devices(), TORCHRUN, Place(5, 8, 1, 4, True, "far", 29500), id="torchrun"),
        pytest.param(Devices(4, 2), TORCHRUN, Place(5, 8, 1, 4, True, "far", 29500), id="and said"),
        pytest.param(
            Devices(2, 2), BY_HAND, Place(2, 4, 0, 2, False, "far", 29500), id="by hand, second"
        ),
        pytest.param(
            Devices(), {**TORCHRUN, "WORLD_SIZE": "1", "RANK": "0"}, Place(), id="torchrun of one"
        ),
    ],
)
def test_a_process_finds_its_place(asked, environ, place, gpus):
    assert find_place(asked, "auto", 8, environ) == place
    assert 0 <= place.node < place.nodes
    assert leads(environ) == (environ is not TORCHRUN)


@pytest.mark.parametrize(("have", "batch", "taken"), [(4, 8, 4), (8, 4, 4), (3, 4, 2), (8, 1, 1)])
def test_auto_takes_as_many_gpus_as_can_share_the_batch(have, batch, taken, gpus):
    gpus(have)
    assert find_place(Devices("auto"), "auto", batch, {}).ranks == taken
    assert find_place(Devices("auto"), "cpu", batch, {}).ranks == 1


@pytest.mark.parametrize(
    ("asked", "device", "environ", "have", "said"),
    [
        (Devices(3), "cpu", {}, 0, r"batch=8 cannot be shared evenly by 3.*batch=9"),
        (Devices(0), "cpu", {}, 0, "--devices must be auto, or a number"),
        (Devices("many"), "cpu", {}, 0, "found many"),
        (Devices(4), "cuda", {}, 2, "has 2 GPUs: give --devices 2"),
        (Devices(2), "cuda:1", {}, 2, "names one device"),
        (Devices(2, 0), "cpu", {}, 0, "--nodes must be at least 1"),
        (Devices(2, 2), "cpu", {}, 0, "MASTER_ADDR, MASTER_PORT, NODE_RANK .*torchrun"),
        (Devices(2, 2), "cpu", {**BY_HAND, "NODE_RANK": "2"}, 0, "NODE_RANK=2: expected 0 … 1"),
        (Devices(2, 2), "cpu", {**BY_HAND, "MASTER_PORT": "x"}, 0, "MASTER_PORT='x' is no number"),
        (Devices(2), "cpu", TORCHRUN, 0, "torchrun has started 4 processes"),
        (Devices(None, 3), "cpu", TORCHRUN, 0, "torchrun runs on 2"),
        (Devices(), "auto", TORCHRUN, 2, "it has 2 GPUs.*--nproc_per_node=2"),
    ],
)
def test_what_does_not_go_together_is_refused(asked, device, environ, have, said, gpus):
    gpus(have)
    with pytest.raises(ConfigError, match=said):
        find_place(asked, device, 8, environ)


def test_the_parts_of_a_batch_are_the_batch_in_rank_order():
    drawn = np.arange(12)
    parts = [drawn[Place(rank, 4).part(12)] for rank in range(4)]
    assert np.concatenate(parts).tolist() == drawn.tolist()
    assert [len(part) for part in parts] == [3] * 4
