import pytest
import torch

from anymask.support.devices import check_devices, is_accelerator, usable_device


@pytest.mark.parametrize("name", ["cpu", torch.device("cpu"), "meta"])
def test_a_device_that_torch_has(name):
    assert usable_device(name) == torch.device(name)


@pytest.mark.parametrize("name", [None, "auto"])
def test_the_device_that_is_there_is_taken_by_default(name):
    assert usable_device(name).type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize("name", ["gpu", "cuda:99"])
def test_a_device_that_is_not_here(name):
    with pytest.raises(ValueError, match=f"`device` must be 'auto', 'cpu' or another .*, got '{name}'"):
        usable_device(name)


def test_several_devices_or_one():
    check_devices(None, None)
    check_devices(None, "cpu")
    check_devices(["cpu", "meta"], None)
    for devices, device in (([], None), ("cpu", None), (["cpu"], "meta")):
        with pytest.raises(ValueError, match="`devices` must be a list with a device or more, in place of `device`"):
            check_devices(devices, device)


def test_which_device_the_host_waits_for():
    assert not is_accelerator(torch.device("cpu"))
    assert is_accelerator(torch.device("cuda:1"))
