import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.metrics import adjusted_rand_score
from support import bars, generator
from torch.nn import ModuleList

from skmpcc.pseudo_labels.finders import images
from skmpcc.pseudo_labels.finders.images import augmentation_labels, by_information
from skmpcc.pseudo_labels.finders.kmeans import kmeans_labels


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


@pytest.mark.full_pseudo_labels
@pytest.mark.parametrize("taught", [False, True])
def test_clusters_of_views_are_the_same_on_any_number_of_threads(taught, monkeypatch):
    """Bit for bit, and with blocks of iterations that are not whole at the end."""
    monkeypatch.setattr(images, "IMAGE_MAX_ITER", 10)
    data, y = bars(40)
    known = torch.where(torch.arange(len(y)) < 20, torch.as_tensor(y), -1) if taught else None
    used: list[torch.nn.Module] = []
    memberships = images._log_memberships

    def watched(classifier, data):
        used.append(classifier)
        return memberships(classifier, data)

    monkeypatch.setattr(images, "_log_memberships", watched)
    monkeypatch.setattr(images, "by_information", lambda classifiers, *_: ModuleList(classifiers))
    found = []
    for n_threads in (1, 2, 3):
        used.clear()
        monkeypatch.setattr(images, "available_threads", lambda n=n_threads: n)
        augmentation_labels(data, 2, generator(1), known)
        found.append([value for part in used for value in part.state_dict().values()])
    assert found[0]
    for other in found[1:]:
        assert all(map(torch.equal, found[0], other))


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
    assert by_information(classifiers, bars()[0], generator())[0] is classifiers[best]


def test_classifiers_that_say_much_less_than_the_best_are_left_out():
    best, other, same = Rows(), Places(), Rows()
    found = by_information([other, best, same], bars()[0], generator())
    assert found == [best, same]


def test_clusters_are_numbered_as_those_of_the_first_and_labels_are_by_all():
    """Of three classifiers with clusters in another order, each wrong in other images."""
    data, y = bars(30)
    classifiers, wrong = [], []
    for number, order in enumerate(([0, 1], [1, 0], [1, 0])):
        classifier = images.ConvNet((1, 8, 8), 2, generator(number))
        q = torch.full((30, 2), 0.1)
        q[torch.arange(30), torch.as_tensor(y)] = 0.9
        wrong.append(slice(5 * number, 5 * number + 5))
        q[wrong[-1]] = q[wrong[-1]].flip(1)
        features = torch.eye(30)
        classifier.hidden = torch.nn.Sequential(Numbers(data, features))
        classifier.last = torch.nn.Linear(30, 2)
        with torch.no_grad():
            classifier.last.weight.copy_(q[:, order].log().T)
            classifier.last.bias.zero_()
        classifiers.append(classifier.eval())
    y = torch.as_tensor(y)
    one_by_one = [each.log_memberships(data).argmax(1) for each in classifiers]
    assert [int((each == y).sum()) for each in one_by_one] == [25, 5, 5]
    matched = images.matched_memberships(classifiers, data)
    assert [int((each.argmax(1) == y).sum()) for each in matched] == [25, 25, 25]
    assert torch.equal(images._by_all(matched), y)


class Numbers(torch.nn.Module):
    """Rows of a matrix by the numbers of images."""

    def __init__(self, data, features):
        super().__init__()
        self.data, self.features = data, features

    def forward(self, x):
        return self.features[torch.cdist(x.flatten(1), self.data.flatten(1)).argmin(1)]


def test_classifiers_are_judged_by_the_same_views():
    seen = []

    class Watching(Rows):
        def log_memberships(self, x):
            seen.append(x)
            return super().log_memberships(x)

    by_information([Watching(), Watching()], bars()[0], generator())
    one, two, again_one, again_two = seen
    assert torch.equal(one, again_one)
    assert torch.equal(two, again_two)
    assert not torch.equal(one, two)


@pytest.mark.full_pseudo_labels
def test_restarts_learn_from_the_same_views_and_the_best_labels_the_images(monkeypatch):
    made, seen = [], []

    class Watched(images.ConvNet):
        def __init__(self, *args):
            super().__init__(*args)
            made.append(self)

        def log_memberships(self, x):
            if self.training:
                seen.append((self, x))
            return super().log_memberships(x)

    monkeypatch.setattr(images, "ConvNet", Watched)
    monkeypatch.setattr(images, "by_information", lambda classifiers, *args: [classifiers[1].eval()])
    monkeypatch.setattr(images, "IMAGE_MAX_ITER", 4)
    data, _ = bars(40)
    labels = augmentation_labels(data, 2, generator())
    inputs = [[x for classifier, x in seen if classifier is each] for each in made]
    assert [len(each) for each in inputs] == [2 * 4] * 5
    for one, *others in zip(*inputs, strict=True):
        assert all(each is one for each in others)
    with torch.no_grad():
        assert torch.equal(labels, made[1].log_memberships(data).argmax(1))
        differing = [made[i].eval().log_memberships(data) for i in (0, 2)]
        assert not torch.equal(*differing)
