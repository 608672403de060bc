"""Rows of tables with categories and gaps in the networks: what they hide, and what losses count."""

import copy
import pickle

import pytest
import torch
from support import generator, normal
from torch.nn import functional

from skmpcc.method import losses
from skmpcc.method.aim import AIMModel
from skmpcc.method.model import MPCCModel
from skmpcc.method.networks.table import N_PATTERNS, TableInputs, TableOutput, table_outputs
from skmpcc.method.variational import VaDEModel, VAEModel
from skmpcc.settings import AIMNetworkSettings, NetworkSettings

# Two numbers, of which the second may be missing, and three and two categories; of the first, too.
TABLE = TableInputs(n_numbers=2, n_values=(3, 2), absent=(1, 2), unit=1.5)
SETTINGS = NetworkSettings(latent_dim=4, conditioning="embedding", width=8)
AIM_SETTINGS = AIMNetworkSettings(latent_dim=4, width=8)
NAN = float("nan")


def rows(n=40, seed=0):
    """Rows as the networks see them: a third lack the second number, another third the category."""
    outputs = torch.zeros(n, TABLE.n_outputs)
    outputs[:, :2] = normal(n, 2, seed=seed)
    for start, stop in TABLE.groups:
        on = torch.randint(stop - start, (n,), generator=generator(seed))
        outputs[torch.arange(n), start + on] = TABLE.unit
    outputs[::3, 1] = NAN
    outputs[1::3, 2:5] = NAN
    return TABLE.with_absences(outputs)


def mpcc(seed=0):
    model = MPCCModel(SETTINGS, (TABLE.n_inputs,), 3, seed, TABLE)
    model.take_absences(rows())
    return model


def test_places_of_inputs():
    assert (TABLE.n_outputs, TABLE.n_inputs) == (7, 9)
    assert TABLE.groups == [(2, 5), (5, 7)]
    assert TableInputs(3).groups == []
    assert TableInputs(0, (2,)).groups == [(0, 2)]


def test_absences_hide_all_of_a_column_and_are_undone():
    outputs = torch.tensor([[1.0, 2.0, 0, 1.5, 0, 1.5, 0], [3.0, NAN, NAN, NAN, NAN, 0, 1.5]])
    x = TABLE.with_absences(outputs)
    assert x.tolist() == [
        [1.0, 2.0, 0.0, 1.5, 0.0, 1.5, 0.0, 0.0, 0.0],
        [3.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.5, 1.5, 1.5],
    ]
    assert TABLE.observed(x).tolist() == [[1] * 7 + [0] * 2, [1, 0, 0, 0, 0, 1, 1, 0, 0]]
    torch.testing.assert_close(TABLE.without_absences(x), outputs, equal_nan=True)
    # What cannot be absent stays missing.
    outputs[0, 0] = outputs[1, 5] = outputs[1, 6] = NAN
    x = TABLE.with_absences(outputs)
    assert x.isnan().nonzero().tolist() == [[0, 0], [1, 5], [1, 6]]
    none = TableInputs(2, (2,))
    assert none.with_absences(outputs[:, :4]) is not None
    assert none.observed(outputs[:, :4]).tolist() == [[1.0] * 4] * 2


# ---- The generator


def test_probabilities_of_categories_add_up():
    output = TableOutput(TABLE, hides=True)
    given = 9.0 * normal(50, TABLE.n_outputs)
    made = output.eval()(given, normal(50, 4, seed=1))
    assert made.shape == (50, TABLE.n_inputs)
    assert torch.equal(made[:, :2], given[:, :2])
    for start, stop in TABLE.groups:
        torch.testing.assert_close(made[:, start:stop].sum(1), torch.full((50,), TABLE.unit))
        expected = TABLE.unit * given[:, start:stop].softmax(1)
        torch.testing.assert_close(made[:, start:stop], expected)
    assert (made[:, TABLE.n_outputs :] == 0).all()


def test_generated_rows_lack_in_training_what_rows_of_the_data_lack():
    model, x = mpcc(), rows()
    z, y = normal(3000, 4, seed=2), torch.zeros(3000, dtype=torch.int64)
    made = model.generator.train()(z, y)
    absences = made[:, TABLE.n_outputs :]
    wanted = x[:, TABLE.n_outputs :]
    patterns = {tuple(row) for row in wanted.tolist()}
    assert {tuple(row) for row in absences.tolist()} == patterns == {(1.5, 0.0), (0.0, 1.5), (0.0, 0.0)}
    torch.testing.assert_close(absences.mean(0), wanted.mean(0), atol=0.06, rtol=0.0)
    hidden = TABLE.observed_outputs(absences) == 0
    assert (made[:, : TABLE.n_outputs][hidden] == 0).all()
    assert (made[:, : TABLE.n_outputs][~hidden] != 0).all()
    # Which lack what is decided by codes, without a random stream.
    assert torch.equal(model.generator.train()(z, y)[:, TABLE.n_outputs :], absences)


def test_generated_rows_lack_nothing_out_of_training():
    model = mpcc()
    z, y = normal(300, 4, seed=2), torch.zeros(300, dtype=torch.int64)
    made = model.generator.eval()(z, y)
    assert (made[:, TABLE.n_outputs :] == 0).all()
    assert (made[:, : TABLE.n_outputs] != 0).all()
    assert (TABLE.observed(made)[:, : TABLE.n_outputs] == 1).all()


def test_patterns_are_independent_of_what_is_generated():
    """Lower digits of a code say nothing of it: rows with gaps are spread as those without."""
    model, z = mpcc(), normal(6000, 4, seed=3)
    absences = model.generator.train()(z, torch.zeros(6000, dtype=torch.int64))[:, TABLE.n_outputs :]
    for absence in absences.T > 0:
        torch.testing.assert_close(z[absence].mean(0), z[~absence].mean(0), atol=0.1, rtol=0.0)
        torch.testing.assert_close(z[absence].std(0), z[~absence].std(0), atol=0.1, rtol=0.0)


def test_what_is_hidden_has_no_gradient():
    model = mpcc()
    output = table_outputs(model.generator)[0].train()
    given = normal(30, TABLE.n_outputs).requires_grad_()
    made = output(given, normal(30, 4, seed=5))
    made.square().sum().backward()
    hidden = TABLE.observed_outputs(made[:, TABLE.n_outputs :].detach()) == 0
    assert hidden.any()
    assert (given.grad[hidden] == 0).all()
    assert (given.grad[~hidden] != 0).all()


@pytest.mark.parametrize("kind", [MPCCModel, AIMModel, VaDEModel, VAEModel])
def test_decoders_of_variational_models_hide_nothing(kind):
    settings = AIM_SETTINGS if kind is AIMModel else SETTINGS
    n_clusters = 3 if kind in (MPCCModel, VaDEModel) else 1
    model = kind(settings, (TABLE.n_inputs,), n_clusters, 0, TABLE)
    model.take_absences(rows())
    (output,) = table_outputs(model.generator)
    hides = kind in (MPCCModel, AIMModel)
    assert output.patterns.shape == (N_PATTERNS if hides else 0, 2)
    z, y = normal(60, 4, seed=2), torch.zeros(60, dtype=torch.int64)
    made = model.generator.train()(z, y)
    assert bool((made[:, TABLE.n_outputs :] > 0).any()) == hides
    assert model.n_outputs == TABLE.n_outputs


def test_tables_without_gaps_have_no_patterns():
    table = TableInputs(2, (3,))
    model = MPCCModel(SETTINGS, (table.n_inputs,), 3, 0, table)
    model.take_absences(normal(9, 5))
    (output,) = table_outputs(model.generator)
    assert output.patterns.numel() == 0
    made = model.generator.train()(normal(60, 4, seed=2), torch.zeros(60, dtype=torch.int64))
    assert made.shape == (60, 5)
    assert (made != 0).all()


def test_the_patterns_are_of_rows_at_even_distances():
    x = rows(3 * N_PATTERNS)
    model = MPCCModel(SETTINGS, (TABLE.n_inputs,), 3, 0, TABLE)
    model.take_absences(x)
    places = torch.linspace(0, len(x) - 1, N_PATTERNS, dtype=torch.float64).round().long()
    for part in (model.generator, model.averaged_generator):
        (output,) = table_outputs(part)
        assert torch.equal(output.patterns, x[places, TABLE.n_outputs :])


@pytest.mark.parametrize(
    "again",
    [
        lambda model: model.reinitialized(7),
        copy.deepcopy,
        lambda model: pickle.loads(pickle.dumps(model)),
    ],
    ids=["reinitialized", "copied", "pickled"],
)
def test_copies_hide_the_same(again):
    model = mpcc()
    found = again(model)
    assert found.table == TABLE
    for part in ("generator", "averaged_generator"):
        (mine,), (other,) = (table_outputs(getattr(each, part)) for each in (model, found))
        assert mine.patterns.abs().sum() > 0
        assert torch.equal(mine.patterns, other.patterns)
        assert mine.patterns.data_ptr() != other.patterns.data_ptr()


# ---- Losses


def test_reconstructions_of_what_is_not_observed_do_not_count():
    model, x = mpcc(), rows(12).double()
    rebuilt = normal(12, TABLE.n_inputs, seed=4).double()
    observed = model.observed(x)
    expected = ((rebuilt - x)[:, :7][observed[:, :7] > 0]).square().sum() / (12 * 64.0)
    assert observed[:, 7:].sum() == 0
    torch.testing.assert_close(losses.reconstruction_loss(rebuilt, x, 64.0, observed), expected)
    other = torch.where(observed > 0, rebuilt, 1e6)
    torch.testing.assert_close(losses.reconstruction_loss(other, x, 64.0, observed), expected)
    everything = losses.reconstruction_loss(rebuilt, x, 64.0)
    assert everything > expected
    assert torch.equal(everything, losses.reconstruction_loss(rebuilt, x, 64.0, torch.ones_like(x)))


@pytest.mark.parametrize("hiding", [False, True])
def test_the_gradient_of_reconstructions_is_that_of_autograd(hiding):
    model, x = mpcc(), rows(12).double()
    rebuilt = normal(12, TABLE.n_inputs, seed=4).double()
    if hiding:
        rebuilt[:, 7:] = TABLE.unit * (rebuilt[:, 7:] > 0)
    observed = model.observed(x, rebuilt if hiding else None)
    assert observed.sum() < model.observed(x).sum() or not hiding
    leaf = rebuilt.clone().requires_grad_()
    losses.reconstruction_loss(leaf, x, 64.0, observed).backward()
    found = losses.reconstruction_gradient(rebuilt.clone(), x, 64.0, observed)
    torch.testing.assert_close(found, leaf.grad)
    assert (found[observed == 0] == 0).all()


def test_errors_and_densities_are_of_what_is_observed():
    model, x = mpcc(), rows(12).double()
    rebuilt = normal(12, TABLE.n_inputs, seed=4).double()
    variances = torch.linspace(0.5, 2.0, TABLE.n_inputs, dtype=torch.float64)
    observed = TABLE.observed(x) > 0
    torch.testing.assert_close(model.error(x, rebuilt), (x - rebuilt).square() * observed)
    density = torch.distributions.Normal(rebuilt, variances.sqrt()).log_prob(x)
    expected = torch.stack([each[there].sum() for each, there in zip(density, observed, strict=True)])
    torch.testing.assert_close(model.log_likelihood(x, rebuilt, variances), expected)
    # What is filled in where nothing is known changes nothing.
    filled = functional.pad(torch.where(observed, x, 9.0)[:, :7], (0, 2))
    filled[:, 7:] = x[:, 7:]
    torch.testing.assert_close(model.log_likelihood(filled, rebuilt, variances), expected)


def test_a_model_without_a_table_observes_everything():
    model = MPCCModel(SETTINGS, (6,), 3, 0)
    assert model.table is None
    assert model.observed(normal(3, 6)) is None
    assert model.n_outputs == 6
    assert table_outputs(model.generator) == []
    model.take_absences(normal(3, 6))
    assert not [name for name in model.state_dict() if "patterns" in name]
