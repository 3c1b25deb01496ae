"""A process of its own for every measurement: no contender finds another's threads, caches or memory."""

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context, get_start_method, set_start_method
from typing import Any


def apart(function: Callable[..., Any], *args: Any) -> Any:
    """What the function returns, called in a fresh interpreter; its exceptions are raised here.

    Processes that it starts itself, as loaders of data do, start in this machine's usual way.
    """
    usual = (get_start_method(),)
    with ProcessPoolExecutor(1, get_context("spawn"), initializer=_start_processes_by, initargs=usual) as pool:
        return pool.submit(function, *args).result()


def _start_processes_by(method: str) -> None:
    set_start_method(method, force=True)
