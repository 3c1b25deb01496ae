import torch

from lab.benchmarks.measuring.operations import profiled


def test_time_is_told_by_kind_and_what_is_in_a_scope_counts_as_that():
    left, images = torch.ones(64, 64), torch.ones(1, 3, 16, 16)

    def step() -> None:
        left @ left
        torch.relu(left)
        torch.conv2d(images, torch.ones(8, 3, 3, 3))
        with torch.profiler.record_function("augmentation"):
            torch.relu(left)

    spent = profiled(step, 2)
    assert {"matrix products", "ReLU", "convolution", "augmentation"} <= spent.keys()
    assert all(seconds > 0 for seconds in spent.values())
