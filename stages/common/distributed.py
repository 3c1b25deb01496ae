"""One training in several processes, on one machine or more: each takes its share of every batch."""

import logging
import os
import sys
import threading
from collections.abc import Callable
from contextlib import redirect_stdout
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.multiprocessing import ProcessExitedException, start_processes
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from stages.common.allocator import keep_freed_memory
from stages.common.params import Refusal

T = TypeVar("T")


def in_processes(count: int, work: Callable[..., None], *args: Any) -> None:
    """Call work(*args) in `count` processes at once; where that is one, in this process and nothing else.

    They are started here, on this machine, unless torchrun has started them, here and on other machines.
    Raises Refusal when there are too few GPUs, when torchrun started another number, and in place of any Refusal or
    OSError of a process. It ends them all when one of them ends before its work, and when it is ended itself.
    """
    if dist.is_torchelastic_launched():
        started, here, rank = (int(os.environ[name]) for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE", "LOCAL_RANK"))
        if started != count:
            raise Refusal(f"params.yaml: processes = {count} in this training, and torchrun started {started}")
        _require_gpus(here)
        _join(rank, {}, work, args)
    elif count == 1:
        work(*args)
    else:
        _require_gpus(count)
        _start(count, work, args)


def _start(count: int, work: Callable[..., None], args: tuple) -> None:
    store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    logging.getLogger(start_processes.__module__).setLevel(logging.ERROR)  # it tells of every process that it ends
    started = start_processes(_process, (count, store.port, work, args), nprocs=count, join=False, daemon=True)
    try:
        while not started.join():
            pass
    except ProcessExitedException as end:
        if store.check(["fault"]):
            raise Refusal(store.get("fault").decode()) from None
        how = end.signal_name or f"with status {end.exit_code}"
        raise Refusal(f"process {end.error_index + 1} of {count} was ended ({how}), and the others with it") from None
    finally:
        for process in started.processes:
            process.kill()


def _process(rank: int, count: int, port: int, work: Callable[..., None], args: tuple) -> None:
    keep_freed_memory()
    tqdm.set_lock(threading.RLock())  # its own is a semaphore, which a process that is killed leaves behind
    torch.set_num_threads(max(1, torch.get_num_threads() // count))
    store = dist.TCPStore("127.0.0.1", port, is_master=False)
    try:
        _join(rank, {"store": store, "rank": rank, "world_size": count}, work, args)
    except (Refusal, OSError) as fault:
        store.set("fault", str(fault))
        sys.exit(1)


def _join(local_rank: int, group: dict[str, Any], work: Callable[..., None], args: tuple) -> None:
    """group: how to find the other processes, where torchrun's environment does not say."""
    gpus = torch.cuda.is_available()
    if gpus:
        torch.cuda.set_device(local_rank)
    dist.init_process_group("nccl" if gpus else "gloo", **group)
    with redirect_stdout(sys.stdout if leads() else None):
        work(*args)
    dist.destroy_process_group()


def _require_gpus(count: int) -> None:
    gpus = torch.cuda.device_count()
    if torch.cuda.is_available() and count > gpus:
        raise Refusal(f"params.yaml: processes = {count} on this machine, which has a GPU for {gpus}")


def processes() -> int:
    """How many there are in this training."""
    return dist.get_world_size() if dist.is_initialized() else 1


def leads() -> bool:
    """Whether this process writes what the training leaves behind: one of them does."""
    return not dist.is_initialized() or dist.get_rank() == 0


def share(count: int) -> slice:
    """This process's rows of `count`; all where it is alone."""
    if not dist.is_initialized():
        return slice(0, count)
    bounds = share_bounds(count)
    return slice(bounds[dist.get_rank()], bounds[dist.get_rank() + 1])


def share_bounds(count: int) -> list[int]:
    """Where the shares of `count` rows begin, and where the last ends; the sizes differ by one at most."""
    return [rank * count // processes() for rank in range(processes() + 1)]


def replicated(network: nn.Module) -> nn.Module:
    """`network` with the leader's weights, its gradients averaged over the processes in every backward pass."""
    return DistributedDataParallel(network, forward_sync_buffers=False) if dist.is_initialized() else network


def averaged(values: Tensor) -> Tensor:
    """The mean over the processes of equal shapes."""
    if dist.is_initialized():
        dist.all_reduce(values)
        values = values / processes()
    return values


def joined(rows: np.ndarray) -> np.ndarray:
    """The shares of all processes, in order."""
    if not dist.is_initialized():
        return rows
    shares = [None] * processes()
    dist.all_gather_object(shares, rows)
    return np.concatenate(shares)


def from_leader(make: Callable[[], T]) -> T:
    """What the leader makes, for all: the others have no part in making it."""
    if not dist.is_initialized():
        return make()
    made = [make() if leads() else None]
    dist.broadcast_object_list(made)
    return made[0]
