import pickle

import numpy as np
import torch
from support import BRIEF

from skmpcc import MPCCClusterer
from skmpcc.system.processes import ALONE
from skmpcc.training.initialization import SharedArrays


def test_what_travels_with_each_initialization_is_small():
    """Data and neighbours are arguments of their own, which joblib and Dask send once."""
    X = np.random.default_rng(0).normal(size=(5000, 20))
    clusterer = MPCCClusterer(3, n_init=2, random_state=0, **BRIEF | {"weights": "learned"})
    fit, data = clusterer._fit_of(X, ALONE)
    initializations = list(fit.initializations(data))
    shared = SharedArrays.from_tensors(data.encoded, data.graph)
    run, arguments, _ = zip(*(shared.call(each) for each in initializations), strict=True)
    for _, *arrays in arguments:
        assert all(a is b for a, b in zip(arrays, arguments[0][1:], strict=True))
    assert sum(array.nbytes for array in arguments[0][1:]) > 10 * len(pickle.dumps(arguments[0][0]))
    # As a memory map gives them.
    for array in arguments[1][1:]:
        array.flags.writeable = False
    trained = run[1](*arguments[1])
    expected = initializations[1].run()
    assert torch.equal(trained.model.prior.means, expected.model.prior.means)
