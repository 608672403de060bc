import copy
import threading
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_info, threadpool_limits

from skmpcc.system.devices import (
    FLOPS_PER_THREAD,
    at_most_threads,
    available_threads,
    inference_device,
    matmul_precision,
    resolve_device,
    threads_for,
    to_device_if_fits,
)


def test_devices():
    assert resolve_device("cpu") == torch.device("cpu")
    assert resolve_device(torch.device("cpu")) == torch.device("cpu")
    assert resolve_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    for bad in ("abacus", "mps", "meta", "cuda:99", ""):
        with pytest.raises(ValueError, match="device="):
            resolve_device(bad)
    assert inference_device("cuda:99") == torch.device("cpu")
    with pytest.raises(ValueError, match="cudda"):
        inference_device("cudda")


def test_data_larger_than_half_of_a_gpu_stay_on_the_host(monkeypatch):
    moved = []
    data = SimpleNamespace(nbytes=100, to=lambda device: moved.append(device) or "there")
    gpu = torch.device("cuda")
    for free, expected in ((200, "there"), (199, data)):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device, free=free: (free, 1000))
        assert to_device_if_fits(data, gpu) == expected
    assert moved == [gpu]


def test_an_operation_gets_threads_by_its_work(monkeypatch):
    """And no more than the process may use, whatever torch was told."""
    before = torch.get_num_threads()
    monkeypatch.setattr("joblib.cpu_count", lambda: 4)
    try:
        for n_torch, most in ((8, 4), (3, 3)):
            torch.set_num_threads(n_torch)
            assert available_threads() == most
            assert [threads_for(n * FLOPS_PER_THREAD) for n in (0, 0.5, 1.9, 2.1, 1e9)] == [
                1,
                1,
                1,
                2,
                most,
            ]
    finally:
        torch.set_num_threads(before)


def test_limits_hold_for_scikit_learn_too():
    """Its loops ask OpenMP, which counts by itself in every copy that is loaded."""

    def numbers():
        return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "openmp"]

    before = torch.get_num_threads()
    with threadpool_limits(2, user_api="openmp"):
        torch.set_num_threads(2)
        assert set(numbers()) == {2}
        with at_most_threads(1):
            assert set(numbers()) == {1}
        assert set(numbers()) == {2}
    torch.set_num_threads(before)


def test_threads_come_back():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with at_most_threads(0):
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2
        with at_most_threads(10_000):
            assert torch.get_num_threads() == 2
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_threads_come_back_where_limits_overlap_in_threads():
    """A thread that begins within another one's limit, and ends after it, is not to keep it."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    begun, ended, seen = threading.Event(), threading.Event(), []

    def other():
        with at_most_threads(1), at_most_threads(2):
            seen.append(torch.get_num_threads())
            begun.set()
            ended.wait(10)
        seen.append(torch.get_num_threads())

    thread = threading.Thread(target=other)
    try:
        with at_most_threads(1):
            thread.start()
            assert begun.wait(10)
        ended.set()
        thread.join(10)
        assert seen == [1, 2]
        assert torch.get_num_threads() == 2
        fresh = []
        last = threading.Thread(target=lambda: fresh.append(torch.get_num_threads()))
        last.start()
        last.join(10)
        assert fresh == [2]
    finally:
        ended.set()
        torch.set_num_threads(before)


def switches():
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    if hasattr(cudnn, "conv"):
        return matmul.fp32_precision, cudnn.conv.fp32_precision, cudnn.deterministic
    return matmul.allow_tf32, cudnn.allow_tf32, cudnn.deterministic


@pytest.mark.parametrize("tf32", [False, True])
def test_precision_of_products_on_cuda_comes_back(tf32):
    """The switches can be looked at without a GPU."""
    before = switches()
    with matmul_precision(torch.device("cpu"), tf32=tf32):
        assert switches() == before
    with matmul_precision(torch.device("cuda"), tf32=tf32):
        inside = switches()
    # Products are never in TF32: the mixture's log-densities are among them.
    new, old = ("ieee", "tf32" if tf32 else "ieee"), (False, tf32)
    assert inside == (*(new if hasattr(torch.backends.cudnn, "conv") else old), True)
    assert switches() == before


@pytest.mark.skipif(not hasattr(torch.backends.cudnn, "conv"), reason="torch below 2.9")
@pytest.mark.parametrize("precision", ["ieee", "tf32"])
def test_a_process_may_use_torchs_new_switch_of_precision(precision):
    """After which torch refuses to read the old one."""
    matmul = torch.backends.cuda.matmul
    before = matmul.fp32_precision
    matmul.fp32_precision = precision
    try:
        with matmul_precision(torch.device("cuda"), tf32=False):
            assert matmul.fp32_precision == "ieee"
        assert matmul.fp32_precision == precision
    finally:
        matmul.fp32_precision = before


@pytest.mark.parametrize("device", ["cuda:99", torch.device("cuda", 99)])
def test_a_missing_device_serves_by_the_cpu_with_a_warning(device, blobs, fitted):
    expected = fitted.predict_proba(blobs[0])
    elsewhere = copy.copy(fitted).set_params(device=device)
    for method in (elsewhere.predict_proba, elsewhere.transform):
        with pytest.warns(
            UserWarning, match="device='cuda:99' is not available here; the CPU"
        ) as caught:
            method(blobs[0])
        assert caught[0].filename == __file__
    with pytest.warns(UserWarning, match="cuda:99") as caught:
        elsewhere.sample(2)
    assert {each.filename for each in caught} == {__file__}
    with pytest.warns(UserWarning, match="cuda:99"):
        np.testing.assert_array_equal(elsewhere.predict_proba(blobs[0]), expected)
