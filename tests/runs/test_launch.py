"""Tell which of several processes begins a run, whoever started them."""

from __future__ import annotations

import os

import pytest

from tlplug.errors import UsageError
from tlplug.runs.launch import follows
from tlplug.settings import TrainerSettings

TORCHRUN = {"TORCHELASTIC_RUN_ID": "none", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}


SLURM = {"SLURM_NTASKS": "4", "SLURM_NTASKS_PER_NODE": "2", "SLURM_JOB_NAME": "train", "SLURM_NNODES": "2"}


LAUNCHED = {"MASTER_ADDR": "node0", "MASTER_PORT": "29500"}


VARIABLES = ("RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE")


@pytest.fixture
def launched(monkeypatch):
    """Sets the environment that a launcher would, over one in which none has set anything."""
    from lightning.pytorch.utilities import rank_zero_only

    for name in [*os.environ, *VARIABLES]:
        if name in VARIABLES or name.startswith(("SLURM_", "TORCHELASTIC_", "MASTER_")):
            monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(rank_zero_only, "rank", 0)

    def set_all(variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, str(value))

    return set_all


def asked(devices=1, nodes=1, strategy="auto"):
    return TrainerSettings(accelerator="cpu", devices=devices, num_nodes=nodes, strategy=strategy)


@pytest.mark.parametrize(
    ("variables", "devices", "nodes", "further"),
    [
        ({}, 1, 1, False),
        ({}, 2, 1, False),
        # What another program left in the environment of a single process.
        ({"RANK": 1}, 1, 1, False),
        ({"RANK": 1}, 2, 1, False),
        ({"LOCAL_RANK": 1}, 1, 1, False),
        ({"RANK": 1, "LOCAL_RANK": 1, "WORLD_SIZE": 2, "NODE_RANK": 1, **LAUNCHED}, 1, 1, False),
        ({"SLURM_PROCID": 1}, 1, 1, False),
        ({"SLURM_PROCID": 3, "SLURM_NTASKS": 4, "SLURM_JOB_NAME": "bash"}, 2, 1, False),
        ({"SLURM_PROCID": 3, "SLURM_NTASKS": 4, "SLURM_JOB_NAME": "interactive"}, 1, 1, False),
        # Lightning's own launcher: on the first node, and on the second, where the user sets NODE_RANK.
        ({"LOCAL_RANK": 0, "NODE_RANK": 0, "WORLD_SIZE": 2, **LAUNCHED}, 2, 1, False),
        ({"LOCAL_RANK": 1, "NODE_RANK": 0, "WORLD_SIZE": 2, **LAUNCHED}, 2, 1, True),
        ({"NODE_RANK": 0, **LAUNCHED}, 2, 2, False),
        ({"NODE_RANK": 1, **LAUNCHED}, 2, 2, True),
        ({"LOCAL_RANK": 0, "NODE_RANK": 1, "WORLD_SIZE": 4, **LAUNCHED}, 2, 2, True),
        # torchrun, on one node and on two.
        ({"RANK": 0, "LOCAL_RANK": 0, "GROUP_RANK": 0, "WORLD_SIZE": 1, **TORCHRUN}, 1, 1, False),
        ({"RANK": 0, "LOCAL_RANK": 0, "GROUP_RANK": 0, "WORLD_SIZE": 2, **TORCHRUN}, 2, 1, False),
        ({"RANK": 1, "LOCAL_RANK": 1, "GROUP_RANK": 0, "WORLD_SIZE": 2, **TORCHRUN}, 2, 1, True),
        ({"RANK": 2, "LOCAL_RANK": 0, "GROUP_RANK": 1, "WORLD_SIZE": 4, **TORCHRUN}, 2, 2, True),
        # torchrun inside of a Slurm job with one task a node.
        ({"RANK": 1, "LOCAL_RANK": 1, "WORLD_SIZE": 2, "SLURM_PROCID": 0, "SLURM_NTASKS": 1, **TORCHRUN}, 2, 1, True),
        # srun.
        ({"SLURM_PROCID": 0, "SLURM_LOCALID": 0, "SLURM_NODEID": 0, **SLURM}, 2, 2, False),
        ({"SLURM_PROCID": 1, "SLURM_LOCALID": 1, "SLURM_NODEID": 0, **SLURM}, 2, 2, True),
        ({"SLURM_PROCID": 2, "SLURM_LOCALID": 0, "SLURM_NODEID": 1, **SLURM}, 2, 2, True),
        ({"SLURM_PROCID": 0, "SLURM_NTASKS": 1, "SLURM_JOB_NAME": "train"}, 1, 1, False),
    ],
)  # fmt: skip
def test_one_process_begins_a_run_whoever_started_it(variables, devices, nodes, further, launched):
    launched(variables)
    assert follows(asked(devices, nodes)) is further


def test_what_lightning_took_from_a_stray_variable_is_put_right(launched, monkeypatch):
    """Its loggers and checkpoints would do nothing in a process that it takes for a further one."""
    from lightning.pytorch.utilities import rank_zero_only

    launched({"RANK": 1})
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    assert not follows(asked()) and rank_zero_only.rank == 0


@pytest.mark.parametrize(
    ("variables", "devices", "strategy", "said"),
    [
        ({"RANK": 1, "LOCAL_RANK": 1, "WORLD_SIZE": 2, **TORCHRUN}, 1, "auto", "torchrun started 2 processes"),
        ({"SLURM_PROCID": 1, "SLURM_LOCALID": 1, "SLURM_NODEID": 0, **SLURM}, 1, "auto", "Slurm has 4 tasks"),
        ({"SLURM_PROCID": 1, "SLURM_NTASKS": 2, "SLURM_JOB_NAME": "train"}, 2, "auto", "--ntasks-per-node=2"),
        ({"LOCAL_RANK": 1}, 2, "auto", "unset it if none has"),
        ({}, 2, "fsdp", "trainer.strategy=fsdp: not yet"),
        ({}, 2, "deepspeed_stage_2", "trainer.strategy=deepspeed_stage_2: not yet"),
        ({}, 2, "ddp_spawn", "what its processes learn is lost"),
        ({}, 2, "no_such_strategy", "no_such_strategy"),
    ],
)  # fmt: skip
def test_what_cannot_be_trained_together_is_an_error_that_says_why(
    variables, devices, strategy, said, launched
):
    launched(variables)
    with pytest.raises(UsageError, match=said):
        follows(asked(devices, strategy=strategy))
