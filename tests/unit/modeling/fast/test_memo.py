import copy
import pickle
import warnings

import pytest
import torch
from tests.tiny_sam import points, tiny_model
from torch import nn

from anymask.modeling.fast.memo import Memo, SameNumbers


class Doubled:
    """A memo of twice a tensor, that counts how often it computes."""

    def __init__(self, tensor):
        self.tensor, self.memo, self.computed = tensor, Memo(), 0

    def __call__(self, *key):
        def compute():
            self.computed += 1
            return 2 * self.tensor

        return self.memo.get(compute, [self.tensor], *key)


@torch.no_grad()
def test_computed_once():
    doubled = Doubled(torch.ones(3))
    assert doubled() is doubled()
    assert doubled.computed == 1
    doubled("another key")
    assert doubled.computed == 2


@pytest.mark.parametrize(
    "change",
    [
        lambda parameter: parameter.add_(1),
        lambda parameter: setattr(parameter, "data", torch.full((3,), 2.0)),
        lambda parameter: setattr(parameter, "data", parameter.data.double() + 1),
        lambda parameter: parameter.copy_(torch.full((3,), 2.0)),
    ],
)
@torch.no_grad()
def test_a_change_is_noticed(change):
    doubled = Doubled(nn.Parameter(torch.ones(3)))
    doubled()
    change(doubled.tensor)
    assert torch.equal(doubled(), torch.full((3,), 4.0, dtype=doubled.tensor.dtype))


@torch.no_grad()
def test_another_tensor_at_the_same_address_is_another_tensor():
    doubled = Doubled(torch.ones(3))
    doubled()
    for _ in range(50):
        doubled.tensor = torch.zeros(3)  # the tensor before is freed, but for what the memo holds
        assert torch.equal(doubled(), torch.zeros(3))
        doubled.tensor = torch.ones(3)
        assert torch.equal(doubled(), torch.full((3,), 2.0))


def test_nothing_is_kept_with_gradients():
    doubled = Doubled(nn.Parameter(torch.ones(3)))
    assert doubled().requires_grad
    assert doubled() is not doubled()
    assert doubled.memo._last is None


def test_what_is_kept_serves_every_mode():
    doubled = Doubled(nn.Parameter(torch.ones(3)))
    with torch.inference_mode():
        kept = doubled()
    assert not kept.is_inference()
    with torch.no_grad():
        assert doubled() is kept


@torch.inference_mode()
def test_tensors_without_a_count_of_changes_are_not_relied_on():
    doubled = Doubled(torch.ones(3))
    doubled()
    doubled.tensor.add_(1)
    assert torch.equal(doubled(), torch.full((3,), 4.0))


@torch.no_grad()
def test_autocast_is_not_kept():
    doubled = Doubled(torch.ones(3))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        doubled()
    assert doubled.memo._last is None


@torch.no_grad()
def test_copies_begin_with_nothing():
    doubled = Doubled(torch.ones(3))
    doubled()
    for other in (copy.deepcopy(doubled.memo), pickle.loads(pickle.dumps(doubled.memo))):
        assert other._last is None


@torch.no_grad()
def test_a_model_that_changes_between_clicks():
    """Whatever is kept, masks are those of the model as it is."""
    model, prompts = tiny_model(), dict(input_points=points(batch=1))
    embedding = torch.randn(1, 32, 10, 10)

    def masks(of):
        return of(image_embeddings=embedding, **prompts).pred_masks

    before = masks(model)
    assert torch.equal(masks(model), before)
    for parameter in model.parameters():
        parameter.add_(0.05 * torch.randn_like(parameter))
    changed = masks(model)
    assert not torch.allclose(changed, before)
    fresh = tiny_model()
    fresh.load_state_dict(model.state_dict())
    assert torch.equal(masks(fresh), changed)
    model.load_state_dict(tiny_model().state_dict())
    assert torch.equal(masks(model), before)
    assert masks(model.bfloat16()).dtype == torch.bfloat16


@torch.no_grad()
def test_numbers_are_recognised():
    seen, numbers = SameNumbers(), torch.randn(2, 3)
    first = seen.recognise(numbers)
    assert first is not None
    assert seen.recognise(numbers.clone()) == first
    with torch.inference_mode():
        unnoticed = numbers.clone()
        assert seen.recognise(unnoticed) == first
        unnoticed[1, 2] += 1
        second = seen.recognise(unnoticed)
    given = [
        first,
        second,
        seen.recognise(unnoticed.double()),
        seen.recognise(torch.zeros(3, 2)),
        seen.recognise(numbers),
    ]
    assert len(set(given)) == 5


@torch.no_grad()
def test_several_tensors_are_recognised_together():
    seen, image, shared = SameNumbers(), torch.randn(2, 3), torch.randn(1, 3)
    first = seen.recognise(image, shared.expand(2, 3))
    assert seen.recognise(image.clone(), shared.clone().expand(2, 3)) == first
    assert seen.recognise(image, (shared + 1).expand(2, 3)) != first


@torch.no_grad()
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda seen: pickle.loads(pickle.dumps(seen))])
def test_copies_have_seen_nothing(copied):
    seen = SameNumbers()
    seen.recognise(torch.ones(3))
    assert copied(seen)._last[1] == ()


@torch.no_grad()
def test_a_batch_is_not_its_member():
    seen, image = SameNumbers(), torch.randn(1, 3)
    of_two = seen.recognise(image.expand(2, 3))
    assert seen.recognise(image) != of_two


@torch.no_grad()
def test_nothing_is_kept_in_a_trace():
    doubled, seen, kept = Doubled(torch.ones(3)), SameNumbers(), []
    doubled()

    def traced(tensor):
        kept.append((seen.recognise(tensor), doubled() is doubled()))
        return 2 * tensor

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # exporters still trace
        torch.jit.trace(traced, torch.ones(3), check_trace=False)
    assert kept[0] == (None, False)


@torch.no_grad()
def test_another_thread_computes_in_between():
    memo, weights = Memo(), [torch.ones(3)]

    class Key:
        """Equal to the other, but while they are compared something else is asked for."""

        def __eq__(self, other):
            if isinstance(other, Key):
                memo.get(lambda: "another's", weights, "another key")
            return isinstance(other, Key)

        __hash__ = None

    memo.get(lambda: "mine", weights, Key())
    assert memo.get(lambda: "computed anew", weights, Key()) == "mine"
