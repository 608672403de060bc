"""What users get: labels of searches and fits as long as theirs, no worse than a floor.

Each floor is the worst of the seeds 0 to 9, or 0 to 4 of whole fits, as `benchmarks/floors.py` prints
it, minus 0.01.
"""

import pytest
from floors import SETS, fit, scored

pytestmark = [
    pytest.mark.full_pseudo_labels,
    pytest.mark.full_history,
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]


def assert_no_worse(found, floor):
    assert found[0] >= floor[0], "adjusted Rand index"
    assert found[1] >= floor[1], "accuracy"


# Adjusted Rand index and accuracy: of the pseudo-labels, and of the labels where these are all that is
# asked for. Behind them what was measured, the worst of ten seeds.
LABELS = {
    "iris": ((0.749, 0.897), (0.749, 0.897)),  # 0.759, 0.907; 0.759, 0.907
    "moons": ((0.99, 0.99), (0.99, 0.99)),  # 1.000, 1.000; 1.000, 1.000
    "categories": ((0.819, 0.924), (0.819, 0.924)),  # 0.829, 0.934; 0.829, 0.934
    "digits": ((0.894, 0.943), (0.893, 0.942)),  # 0.904, 0.953; 0.903, 0.952
}
PSEUDO_LABELS = {
    "wine": (0.861, 0.945),  # 0.871, 0.955
    "iris beside constants": (0.749, 0.897),  # 0.759, 0.907
    # As it was with a longer search, though the worst of ten has 0.904 and 0.954 now: seed 0 keeps it.
    "digits as images": (0.914, 0.954),
}
WHOLE = {
    "iris": (0.749, 0.897),  # 0.759, 0.907
    "moons": (0.99, 0.99),  # 1.000, 1.000
    "digits": (0.894, 0.943),  # 0.904, 0.953
}


@pytest.mark.parametrize("name", LABELS)
def test_labels_alone(name):
    X, y = SETS[name]()
    clusterer = fit("labels_only", X, y, 0)
    of_pseudo_labels, of_labels = LABELS[name]
    assert_no_worse(scored(y, clusterer.pseudo_labels_), of_pseudo_labels)
    assert_no_worse(scored(y, clusterer.labels_), of_labels)


@pytest.mark.parametrize("name", PSEUDO_LABELS)
def test_pseudo_labels(name):
    X, y = SETS[name]()
    assert_no_worse(scored(y, fit("pseudo_labels", X, y, 0).pseudo_labels_), PSEUDO_LABELS[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", WHOLE)
def test_whole_fits_keep_what_their_pseudo_labels_have(name):
    X, y = SETS[name]()
    clusterer = fit("whole", X, y, 0)
    found = scored(y, clusterer.labels_)
    assert found[0] >= scored(y, clusterer.pseudo_labels_)[0] - 0.01
    assert_no_worse(found, WHOLE[name])
