import os

import pytest
import torch

from study.networks import device as module
from study.networks.device import autocast, device, has_native_bf16, make_deterministic


@pytest.fixture
def nothing_set(monkeypatch):
    """The settings that `make_deterministic` changes, put back after the test."""
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")
    before = torch.utils.deterministic.fill_uninitialized_memory
    yield
    torch.use_deterministic_algorithms(False)
    torch.utils.deterministic.fill_uninitialized_memory = before


@pytest.mark.parametrize(("there", "kind"), [(True, "cuda"), (False, "cpu")])
def test_the_gpu_computes_where_there_is_one(monkeypatch, there, kind):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    assert device() == torch.device(kind)


@pytest.mark.parametrize(("avx512", "amx", "native"), [(True, False, True), (False, True, True), (False, False, False)])
def test_a_processor_multiplies_bfloat16_by_either_extension(monkeypatch, avx512, amx, native):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    assert has_native_bf16() is native


def test_a_gpu_that_only_emulates_bfloat16_computes_in_float32(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: including_emulation)
    assert not has_native_bf16()


@pytest.mark.parametrize(("native", "dtype"), [(True, torch.bfloat16), (False, torch.float32)])
def test_products_are_in_bfloat16_where_it_is_native(monkeypatch, native, dtype):
    monkeypatch.setattr(module, "has_native_bf16", lambda: native)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with autocast():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype


def test_the_seed_decides_torchs_draws(nothing_set):
    draws = []
    for seed in (0, 0, 1):
        make_deterministic(seed)
        draws.append(torch.rand(3).tolist())
    assert draws[0] == draws[1] != draws[2]


def test_what_cannot_be_deterministic_is_refused_on_a_processor(nothing_set):
    make_deterministic(0)
    assert torch.are_deterministic_algorithms_enabled()
    assert not torch.is_deterministic_algorithms_warn_only_enabled()
    assert not torch.utils.deterministic.fill_uninitialized_memory
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"


def test_on_a_gpu_it_is_a_warning_and_the_user_s_workspace_stays(nothing_set, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    make_deterministic(0)
    assert torch.is_deterministic_algorithms_warn_only_enabled()
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":16:8"
