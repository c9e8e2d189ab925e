import pytest
import torch
from tests.tiny_sam import tiny_model
from torch import nn

from anymask.modeling.fast import linear as linear_module
from anymask.modeling.fast.linear import MIN_ROWS, is_untouched, linear, onednn_is_faster, onednn_linear


@pytest.fixture
def calls(monkeypatch):
    """Counts the products through oneDNN, which is taken for the faster one."""
    calls = []

    def counted(features, weight, bias):
        calls.append(tuple(features.shape))
        return onednn_linear(features, weight, bias)

    monkeypatch.setattr(linear_module, "onednn_is_faster", lambda threads: True)
    monkeypatch.setattr(linear_module, "onednn_linear", counted)
    return calls


def layer_and_features(bias=True, rows=MIN_ROWS):
    torch.manual_seed(0)
    return nn.Linear(320, 288, bias=bias), torch.randn(1, rows // 4, 4, 320)


@pytest.mark.parametrize("bias", [True, False])
@torch.no_grad()
def test_both_products_agree(calls, bias):
    layer, features = layer_and_features(bias)
    torch.testing.assert_close(linear(layer, features), layer(features), rtol=1e-5, atol=1e-5)
    # A view with strides of its own, as strips of an image are.
    strip = features.transpose(1, 2)
    torch.testing.assert_close(linear(layer, strip), layer(strip), rtol=1e-5, atol=1e-5)
    assert len(calls) == 2


@torch.inference_mode()
def test_inference_mode(calls):
    layer, features = layer_and_features()
    torch.testing.assert_close(linear(layer, features), layer(features), rtol=1e-5, atol=1e-5)
    assert len(calls) == 1


def test_gradients_go_through_the_plain_layer(calls):
    layer, features = layer_and_features()
    linear(layer, features).sum().backward()
    assert layer.weight.grad is not None and calls == []


@torch.no_grad()
def test_whatever_is_not_plain_is_called(calls):
    layer, features = layer_and_features()
    linear(layer, features[:, :-1])  # too few rows
    linear(layer.double(), features.double())
    layer.float()
    with torch.autocast("cpu", torch.bfloat16):
        assert linear(layer, features).dtype == torch.bfloat16
    seen = []
    hook = layer.register_forward_hook(lambda *_: seen.append(True))
    linear(layer, features)
    hook.remove()
    assert seen == [True]

    class Adapted(nn.Linear):
        def forward(self, features):
            return super().forward(features) + 1

    adapted = Adapted(320, 288)
    torch.testing.assert_close(linear(adapted, features), nn.Linear.forward(adapted, features) + 1)
    assert calls == []


@torch.no_grad()
def test_encoder_with_either_product(calls, monkeypatch):
    monkeypatch.setattr(linear_module, "MIN_ROWS", 1)
    monkeypatch.setattr(linear_module, "MIN_WEIGHTS", 1)
    model = tiny_model()
    side = model.config.vision_config.image_size
    pixel_values = torch.randn(1, 3, side, side)
    through_onednn = model.get_image_embeddings(pixel_values)
    assert calls
    monkeypatch.setattr(linear_module, "onednn_is_faster", lambda threads: False)
    torch.testing.assert_close(through_onednn, model.get_image_embeddings(pixel_values), rtol=1e-4, atol=1e-5)


def test_measuring_touches_nothing(monkeypatch):
    state = torch.get_rng_state()
    onednn_is_faster.cache_clear()
    assert onednn_is_faster(torch.get_num_threads()) in (True, False)
    assert torch.equal(torch.get_rng_state(), state)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    onednn_is_faster.cache_clear()
    assert not onednn_is_faster(1)
    onednn_is_faster.cache_clear()


def test_untouched_in_an_exported_graph_too():
    seen = []

    class Asks(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(3, 4)

        def forward(self, features):
            seen.append(is_untouched(self.layer, nn.Linear))
            return self.layer(features)

    torch.export.export(Asks(), (torch.zeros(2, 3),), strict=False)
    assert seen and all(seen)


def test_weights_of_a_type_of_their_own_are_not_read():
    class OwnProducts(torch.Tensor):
        pass

    layer = nn.Linear(3, 4)
    assert is_untouched(layer, nn.Linear) and not is_untouched(layer, nn.LayerNorm)
    layer.weight = nn.Parameter(layer.weight.detach().as_subclass(OwnProducts))
    assert not is_untouched(layer, nn.Linear)
