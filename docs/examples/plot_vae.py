"""
Codes, reconstructions and new samples, by VAE
==============================================

``VAE`` is a variational autoencoder: it learns a few numbers for each row, from which the row can
be decoded again, and from which new rows are drawn. It looks for no clusters.
"""

from matplotlib import pyplot as plt
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, train_test_split

from skmpcc import VAE
from skmpcc.metrics import latent_diagnostics

X, y = load_digits(return_X_y=True)
seen, held_out, y_seen, y_held_out = train_test_split(X, y, random_state=0, stratify=y)
vae = VAE(latent_dim=10, random_state=0).fit(seen)

# %%
# ``reconstruct`` encodes rows to ten numbers and decodes these, also of rows that the fit did not
# see. ``sample`` decodes draws from a normal distribution.
pictures = {
    "held-out rows": held_out[:12],
    "reconstructions": vae.reconstruct(held_out[:12]),
    "new samples": vae.sample(12),
}
figure, axes = plt.subplots(3, 12, figsize=(9, 2.6), layout="constrained")
for row, (title, images) in zip(axes, pictures.items(), strict=True):
    for ax, image in zip(row, images, strict=True):
        ax.imshow(image.reshape(8, 8), cmap="gray_r", vmin=0, vmax=16)
        ax.set(xticks=[], yticks=[])
    row[0].set_ylabel(title, rotation=0, ha="right", va="center")

# %%
# ``score`` is the evidence lower bound of the log-likelihood, the larger the better, so that a
# search over ``latent_dim`` needs no labels. Brief fits are enough to compare.
dimensions = [2, 5, 20]
search = GridSearchCV(
    VAE(max_iter=150, tol=0, random_state=0), {"latent_dim": dimensions}, cv=2, refit=False
).fit(seen)
for dimension, score in zip(dimensions, search.cv_results_["mean_test_score"], strict=True):
    print(f"{dimension:2} dimensions: {score:.1f} nats")

# %%
# What holds the codes to the normal distribution is ``restriction``. ``"posterior"``, the default,
# holds the code of each row to it, which is best for samples. ``"mmd"`` holds all codes together to
# it, so that single ones may be as exact as they like. On these small images a linear classifier
# gains little by it.
fits = {"posterior": vae, "mmd": VAE(latent_dim=10, restriction="mmd", random_state=0).fit(seen)}
for restriction, fitted in fits.items():
    classifier = LogisticRegression(max_iter=1000).fit(fitted.transform(seen), y_seen)
    accuracy = classifier.score(fitted.transform(held_out), y_held_out)
    print(f"{restriction}: accuracy of a linear classifier {accuracy:.3f}")
    for name, value in latent_diagnostics(fitted, held_out, random_state=0).items():
        print(f"    {name}: {value:.2f}")

# %%
# ``information`` is at most what codes tell of rows, in nats; ``marginal_divergence`` says how far
# all codes together are from the normal distribution, and ``reconstruction`` how large the error of
# what is decoded is, over the data's variance. ``posterior_divergence`` is what ``"posterior"``
# keeps small, and ``"mmd"`` does not.
#
# **Read next:** :ref:`VAE in the reference <reference:Without clusters: VAE and AIM>`.
# :doc:`plot_vade` has the same with clusters, and :doc:`plot_aim_grid` shows the adversarial way.
