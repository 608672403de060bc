import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.metrics import adjusted_rand_score
from support import bars, generator

from skmpcc.pseudo_labels import images
from skmpcc.pseudo_labels.images import augmentation_labels, most_informative
from skmpcc.pseudo_labels.search import kmeans_labels


def digits():
    X, y = load_digits(return_X_y=True)
    return torch.as_tensor(X / 8.0 - 1.0, dtype=torch.float32).view(-1, 1, 8, 8), y


def test_clusters_of_views_are_what_deformations_keep(monkeypatch):
    """With fewer restarts and updates than users have."""
    monkeypatch.setattr(images, "N_IMAGE_RESTARTS", 2)
    monkeypatch.setattr(images, "IMAGE_MAX_ITER", 200)
    data, y = digits()
    assert adjusted_rand_score(y, kmeans_labels(data, 10, 0)) < 0.7
    assert adjusted_rand_score(y, augmentation_labels(data, 10, generator())) > 0.85


@pytest.mark.slow
@pytest.mark.full_pseudo_labels
def test_clusters_of_views_as_users_have_them():
    data, y = digits()
    assert adjusted_rand_score(y, augmentation_labels(data, 10, generator())) > 0.9


@pytest.mark.full_pseudo_labels
def test_clusters_of_views_are_reproducible_and_leave_the_global_state(monkeypatch):
    monkeypatch.setattr(images, "IMAGE_MAX_ITER", 8)
    data, _ = bars(40)
    before = torch.random.get_rng_state()
    first, second = (augmentation_labels(data, 2, generator(1)) for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(torch.random.get_rng_state(), before)


LEFT = torch.linspace(0.0, 1.0, 8)


class Rows(torch.nn.Module):
    """Bars that lie, by their mean over a row; what deformations rarely change."""

    def log_memberships(self, x):
        lies = x.mean(3).amax(2) > x.mean(2).amax(2)
        return torch.nn.functional.one_hot(lies[:, 0].long(), 2).float().log()


class Places(torch.nn.Module):
    """Bright to the left or to the right of the middle, which a shift changes."""

    def log_memberships(self, x):
        place = ((x + 1).mean(2) @ LEFT)[:, 0] / (x + 1).mean((1, 2, 3))
        return torch.nn.functional.one_hot((place > place.median()).long(), 2).float().log()


@pytest.mark.parametrize("best", [0, 1, 2])
def test_best_classifier_is_the_one_whose_views_agree(best):
    classifiers = [Rows() if i == best else Places() for i in range(3)]
    assert most_informative(classifiers, bars()[0], generator()) == best
    assert all(each.training for each in classifiers)


@pytest.mark.full_pseudo_labels
def test_only_the_best_goes_on_and_labels_the_images(monkeypatch):
    made, chosen = [], []

    class Watched(images.ConvNet):
        def __init__(self, *args):
            super().__init__(*args)
            self.n_updates = 0
            made.append(self)

        def log_memberships(self, x):
            self.n_updates += self.training
            return super().log_memberships(x)

    def second(classifiers, *args):
        chosen.append([each.n_updates for each in classifiers])
        return 1

    monkeypatch.setattr(images, "ConvNet", Watched)
    monkeypatch.setattr(images, "most_informative", second)
    monkeypatch.setattr(images, "IMAGE_MAX_ITER", 10)
    data, _ = bars(40)
    labels = augmentation_labels(data, 2, generator())
    # Two passes an update: of the images, and of their views.
    assert chosen == [[2 * 4] * 3]
    assert [each.n_updates for each in made] == [2 * 4, 2 * 10, 2 * 4]
    with torch.no_grad():
        assert torch.equal(labels, made[1].log_memberships(data).argmax(1))
