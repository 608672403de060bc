import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.special import softmax

from skmpcc.pseudo_labels.finders import objectives

SEEDS = st.integers(0, 10_000)


@settings(max_examples=25, deadline=None)
@given(seed=SEEDS)
def test_marginal_entropy(seed):
    q = softmax(np.random.default_rng(seed).normal(scale=3, size=(4, 7, 3)), axis=-1)
    entropy = objectives.marginal_entropy(torch.as_tensor(q).log())
    np.testing.assert_allclose(entropy, stats.entropy(q.mean(axis=1), axis=1))


@settings(max_examples=25, deadline=None)
@given(seed=SEEDS)
def test_conditional_entropy(seed):
    q = softmax(np.random.default_rng(seed).normal(scale=3, size=(4, 7, 3)), axis=-1)
    entropy = objectives.conditional_entropy(torch.as_tensor(q).log())
    np.testing.assert_allclose(entropy, stats.entropy(q, axis=2).mean(axis=1))


@settings(max_examples=25, deadline=None)
@given(seed=SEEDS)
def test_augmentation_loss_is_the_divergence_of_memberships(seed):
    logits = torch.as_tensor(np.random.default_rng(seed).normal(scale=3, size=(2, 7, 3)))
    own, view = (part.requires_grad_() for part in logits)
    log_q, log_q_view = own.log_softmax(1), view.log_softmax(1)
    loss = objectives.augmentation_loss(log_q, log_q_view)
    p, q = (x.detach().exp().numpy() for x in (log_q, log_q_view))
    np.testing.assert_allclose(loss.detach(), stats.entropy(p, q, axis=1).mean())
    loss.backward()
    assert own.grad is None  # what a sample is said to be is taken as given
    assert view.grad.abs().sum() > 0
