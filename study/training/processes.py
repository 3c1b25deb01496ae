"""One training in several processes under torchrun; each takes its share of every batch, and gradients are averaged.

On GPUs batch norm sees the whole batch (SyncBatchNorm), on CPUs only its own process's share, and all processes draw
the same dropout masks: results are close to those of one process, not equal.
"""

import os
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import TypeVar, cast

import torch
from torch import Tensor, distributed, nn

from study.pipeline.params import Refusal

T = TypeVar("T")


def in_processes(count: int, train: Callable[[], None]) -> None:
    """Call `train` in `count` processes, restarting under torchrun if needed. Raises Refusal if they do not fit."""
    launched = distributed.is_torchelastic_launched()
    if count == 1 and not launched:
        return train()
    gpus, here = torch.cuda.device_count(), int(os.environ["LOCAL_WORLD_SIZE"]) if launched else count
    if torch.cuda.is_available() and here > gpus:
        raise Refusal(f"params.yaml: processes = {here} on this machine, which has a GPU for {gpus}")
    if not launched:
        os.environ.setdefault("OMP_NUM_THREADS", str(max(1, torch.get_num_threads() // count)))
        torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}"]
        os.execv(sys.executable, [*torchrun, "-m", f"stages.{Path(sys.argv[0]).stem}", *sys.argv[1:]])
    if (started := int(os.environ["WORLD_SIZE"])) != count:
        raise Refusal(f"params.yaml: processes = {count} in this training, and torchrun started {started}")
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    with redirect_stdout(sys.stdout if leads() else None):
        train()
    distributed.destroy_process_group()


def processes() -> int:
    return distributed.get_world_size() if distributed.is_initialized() else 1


def leads() -> bool:
    """Whether this process judges and writes; exactly one does."""
    return not distributed.is_initialized() or distributed.get_rank() == 0


def share(count: int) -> slice:
    """This process's rows of `count`; all of them if it is alone. Sizes differ by at most one."""
    rank = distributed.get_rank() if distributed.is_initialized() else 0
    return slice(rank * count // processes(), (rank + 1) * count // processes())


def replicated(network: nn.Module) -> nn.Module:
    """`network` with the leader's weights; every backward pass averages its gradients over the processes."""
    if not distributed.is_initialized():
        return network
    if torch.cuda.is_available():
        network = nn.SyncBatchNorm.convert_sync_batchnorm(network)
    return nn.parallel.DistributedDataParallel(network)


def averaged(values: Tensor) -> Tensor:
    """The mean of `values` over the processes; all have the same shape."""
    if distributed.is_initialized():
        distributed.all_reduce(values)
    return values / processes()


def from_leader(make: Callable[[], T]) -> T:
    """What `make` returns in the leader, given to all processes."""
    made = [make() if leads() else None]
    if distributed.is_initialized():
        distributed.broadcast_object_list(made)
    return cast(T, made[0])
