import pytest
import torch
from support import generator, normal

from skmpcc.pseudo_labels.finders.classifiers import BatchedMLP, ConvNet


def test_one_classifier_kept_is_the_one_it_was():
    data = normal(40, 3)
    classifiers = BatchedMLP(4, 3, 2, generator())
    classifiers.keep_moments(data)
    expected = classifiers.log_memberships(data)[2]
    classifiers.keep_only([2])
    found = classifiers.log_memberships(data)
    assert found.shape == (1, 40, 2)
    torch.testing.assert_close(found[0], expected)


@pytest.mark.parametrize(
    ("shape", "n_convolutions"),
    [((1, 8, 8), 2), ((1, 16, 18), 3), ((3, 32, 32), 2), ((1, 28, 40), 2), ((2, 64, 64), 3)],
)
def test_convolutions_end_on_a_small_side(shape, n_convolutions):
    net = ConvNet(shape, 5, generator())
    assert sum(isinstance(layer, torch.nn.Conv2d) for layer in net.hidden) == n_convolutions
    log_q = net.log_memberships(normal(7, *shape))
    assert log_q.shape == (7, 5)
    torch.testing.assert_close(log_q.exp().sum(1), torch.ones(7))


def test_batches_are_normalized_by_their_own_moments_until_others_are_kept():
    data = normal(40, 3)
    classifiers = BatchedMLP(2, 3, 4, generator())
    before = classifiers.log_memberships(data)
    assert before.shape == (2, 40, 4)
    torch.testing.assert_close(before.exp().sum(2), torch.ones(2, 40))
    part = classifiers.log_memberships(data[:10])
    classifiers.keep_moments(data)
    # Of the same samples they are the same moments, of fewer they are not.
    torch.testing.assert_close(classifiers.log_memberships(data), before, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(
        classifiers.log_memberships(data[:10]), before[:, :10], atol=1e-5, rtol=1e-4
    )
    assert not torch.allclose(part, before[:, :10], atol=1e-3)
