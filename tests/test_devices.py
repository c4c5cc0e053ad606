"""Which fits take the workflow's one `gpu` token: those that torch would compute on a device."""

import importlib.util
from types import SimpleNamespace

import pytest
from families import small

from cortseq import jobs, models
from cortseq.stages.plan import Plan

CUDA, CPU = "cuda: Optional[str] = '13.0'\n", "cuda: Optional[str] = None\n"


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine with these device files, a torch that says this of its build, and a value of the variable."""

    def made(files=("nvidia0", "nvidiactl"), build=CUDA, visible=None):
        package, devices = tmp_path / "torch", tmp_path / "dev"
        package.mkdir()
        devices.mkdir()
        for name in files:
            (devices / name).touch()
        (package / "version.py").write_text(f"__version__ = '2.13.0'\n{build}hip: Optional[str] = None\n")
        found = SimpleNamespace(origin=str(package / "__init__.py"))
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: found)
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        if visible is not None:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        jobs._built_for_cuda.cache_clear()
        return devices

    yield made
    jobs._built_for_cuda.cache_clear()


@pytest.mark.parametrize("files, there", [(["nvidia2"], True), (["nvidia0"], True), (["nvidiactl"], False)])
def test_a_container_may_have_a_later_device_only(files, there, machine):
    assert jobs.gpu_present(machine(files)) is there


@pytest.mark.parametrize(
    "visible, there",
    [
        *((some, True) for some in ("1", "2,3", "GPU-8f2a", "0,-1")),
        *((none, False) for none in ("", "-1", "-1,0", "NoDevFiles")),
    ],
)
def test_the_variable_hides_devices(visible, there, machine):
    assert jobs.gpu_present(machine(visible=visible)) is there


@pytest.mark.parametrize("build, there", [(CUDA, True), (CPU, False), ("cuda = '12.4'\n", True), ("", False)])
def test_a_torch_without_cuda_has_no_device(build, there, machine):
    assert jobs.gpu_present(machine(build=build)) is there


def test_without_torch_there_is_no_device(machine, monkeypatch):
    devices = machine()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert not jobs.gpu_present(devices)


def test_the_installed_torch_is_told_as_torch_tells_it():
    import torch

    jobs._built_for_cuda.cache_clear()
    assert jobs._built_for_cuda() is (torch.version.cuda is not None)


@pytest.mark.parametrize("family, takes", [("rate", True), ("lstm", True), ("esn", False), ("null", False)])
@pytest.mark.parametrize(
    "device, there, wanted", [("cuda", False, True), ("auto", True, True), ("auto", False, False)]
)
def test_only_networks_that_are_trained_take_the_token(device, there, wanted, family, takes, monkeypatch):
    monkeypatch.setattr(jobs, "gpu_present", lambda: there)
    plan = SimpleNamespace(study=SimpleNamespace(device=device))
    model = small(family) if family != "null" else models.Null()
    assert Plan.on_gpu(plan, model) is (takes and wanted)
    plan.study.device = "cpu"
    assert not Plan.on_gpu(plan, model)
