"""GPUs are handed out, and one that torch can't use is named."""

import logging

import pytest
import torch

from cxrlib import reproducibility
from cxrlib.workflow import processes


@pytest.fixture
def two_gpus(tmp_path, monkeypatch):
    """A machine with two GPUs of 24 and 12 GB, and nobody on them."""
    monkeypatch.delenv(processes.DEVICES, raising=False)
    monkeypatch.setattr(processes, "memory_of_gpus", lambda: {"0": 24000, "1": 12000})
    monkeypatch.setattr(processes.tempfile, "gettempdir", lambda: str(tmp_path))


def taken(memory_mb, jobs, monkeypatch):
    """The devices of as many jobs as fit at the same time."""
    found = []

    def take(left):
        monkeypatch.delenv(processes.DEVICES, raising=False)
        with processes.one_gpu(memory_mb):
            found.append(processes.os.environ[processes.DEVICES])
            if left > 1:
                take(left - 1)

    take(jobs)
    return found


def test_jobs_spread_over_the_gpus_and_share_one_as_its_memory_allows(two_gpus, monkeypatch):
    assert taken(10000, 3, monkeypatch) == ["0", "1", "0"]
    assert taken(20000, 2, monkeypatch) == ["0", "1"]


def test_a_job_waits_for_a_place(two_gpus, monkeypatch):
    class Waited(Exception):
        pass

    def sleep(seconds):
        raise Waited

    monkeypatch.setattr(processes.time, "sleep", sleep)
    with pytest.raises(Waited):
        taken(10000, 4, monkeypatch)
    assert taken(10000, 3, monkeypatch) == ["0", "1", "0"], "places are given back"


def test_a_device_that_a_scheduler_chose_is_kept(two_gpus, monkeypatch):
    monkeypatch.setenv(processes.DEVICES, "7")
    with processes.one_gpu(10000):
        assert processes.os.environ[processes.DEVICES] == "7"


def test_a_gpu_that_torch_can_t_use_is_said_once_with_the_reason(monkeypatch, caplog):
    def fail():
        raise RuntimeError("The NVIDIA driver on your system is too old (found version 11040).")

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "init", fail)
    monkeypatch.setattr(reproducibility, "has_gpu", lambda: True)
    with caplog.at_level(logging.WARNING):
        assert {reproducibility.pick_device().type for _ in range(3)} == {"cpu"}
    (said,) = caplog.messages
    assert "IS NOT USED" in said
    assert "driver on your system is too old" in said


def test_the_gpu_of_a_mac_is_refused_in_words(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert "64-bit" in reproducibility.why_no_gpu()
