"""Where the time of a piece of code goes, by kind of operation, as torch.profiler sees it."""

import re
from collections import Counter
from collections.abc import Callable

from torch.autograd.profiler_util import FunctionEvent
from torch.profiler import ProfilerActivity, profile

from study.networks.device import device

SCOPES = {"augmentation": "augmentation", "Optimizer.step": "optimizer"}  # everything inside counts as this
KINDS = {  # the first whose pattern an operation's name has
    "convolution, backward": r"convolution.*backward|ConvolutionBackward",
    "convolution": r"conv",
    "matrix products": r"::(mm|addmm|bmm|matmul|linear)\b",
    "batch norm, backward": r"batch_norm.*backward|BatchNorm.*Backward",
    "batch norm": r"batch_norm",
    "ReLU": r"relu|threshold|clamp_min",
    "pooling": r"pool|::mean\b",
    "resizing": r"upsample|interpolate",
    "copies and layouts": r"::(copy_|contiguous|clone|_to_copy|to|cat|stack)\b",
}
REST = "other"


def profiled(step: Callable[[], None], times: int) -> dict[str, float]:
    """Seconds by kind, of `times` calls altogether: the processor's, or the GPU's where there is one."""
    on_gpu = device().type == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]
    with profile(activities=activities) as profiler:
        for _ in range(times):
            step()
    spent: Counter[str] = Counter()
    for event in profiler.events():
        spent[kind(event)] += event.self_device_time_total if on_gpu else event.self_cpu_time_total
    return {name: microseconds / 1e6 for name, microseconds in spent.items() if microseconds}


def kind(event: FunctionEvent) -> str:
    scope: FunctionEvent | None = event
    while scope:
        for beginning, name in SCOPES.items():
            if scope.name.startswith(beginning):
                return name
        scope = scope.cpu_parent
    return next((name for name, pattern in KINDS.items() if re.search(pattern, event.name)), REST)
