# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Who is behind a decision?
#
# A support vector machine decides by comparing an image with some of the images that it was trained on, its support
# vectors. So the map of a decision, which shows where the picture raises or lowers the score, is a sum with one term
# for each of these training images, and the sum is exact. This notebook asks a fitted network who they are: which
# training images a decision rests on, how much of its map each one gives, and what that says about the data.
#
# The data are 50 training and 30 test images a class of Fashion-MNIST, which come with the package. The first run takes
# about a minute, later ones seconds: features are kept in a cache.

# %%
# %matplotlib inline
import itertools
from collections import Counter

import numpy as np

from pcacam_jax import explain
from pcacam_jax.cam.decompose import decompose
from pcacam_jax.cam.evidence import evidence
from pcacam_jax.data import read_dataset
from pcacam_jax.fitting.config import FitConfig
from pcacam_jax.fitting.fit import fit
from pcacam_jax.reports.evidence_figure import evidence_figure, evidence_of, training_rows

dataset = read_dataset("fashion_mnist_sample", limit_per_class=50)
fitted = fit(dataset, FitConfig(size=96, tap="block5_conv3"))
for name, svm in fitted.svms.items():
    f1 = fitted.metrics["metrics"][name]["test_f1"]
    print(
        f"{name:10} {len(svm.support_)} of {len(dataset.train)} training images are support vectors; test F1 {f1:.3f}"
    )

# %% [markdown]
# ## One decision
#
# On the left a test image and the signed map of its decision: orange where the picture raises the score of the class,
# blue where it lowers it. On the right the training images with the largest parts of that map. The maps below them all
# lie over the test image, and they add up to the map on the left.

# %%
ROW = 64
figure = evidence_figure(fitted, ROW, count=4)
figure.set_dpi(75)
figure

# %% [markdown]
# An RBF machine hardly hears a training image that is too far away, which is no surprise, and hardly hears one that is
# very near either, which is: at the training image itself the kernel has its top, where it is flat (Theorem 1 of the
# paper). Most is heard at the distance $d^* = 1/\sqrt{2\gamma}$ (Theorem 2). A linear machine has no such distance.

# %%
figure = evidence_figure(fitted, ROW, "svm_linear:predicted", count=4)
figure.set_dpi(75)
figure

# %% [markdown]
# ## The sum is exact
#
# The parts kept and the rest of them, added up, are the map that `explain` gives. So are the parts of the components:
# both are the same map, cut in two ways.

# %%
maps = np.array(fitted.maps["test"], np.float32)
target = "svm_rbf:predicted"
found = evidence(fitted.head, maps, target, count=5)
by_component = decompose(fitted.head, maps, target)
whole = np.asarray(explain(fitted.head, maps, target).signed[:, 0])
for name, parts in (("support vectors", found.signed), ("components", by_component.signed)):
    print(f"{name:16} largest difference {np.abs(np.asarray(parts) - whole).max() / np.abs(whole).max():.1e}")
    assert np.abs(np.asarray(parts) - whole).max() < 1e-4 * np.abs(whole).max()

# %% [markdown]
# ## How few decide
#
# The share of a training image is the size of its part among the sizes of all parts.

# %%
shares = np.asarray(found.shares)
for count in (1, 3, 5):
    median = np.median(shares[:, :count].sum(axis=1))
    print(f"the first {count} of {found.support_vectors}: {median:.0%} of the map of a middling decision")
print("shares by component:", ", ".join(f"{own:.0%}" for own in np.asarray(by_component.shares).mean(axis=0)))

# %% [markdown]
# Are they of the class decided for? A training image of another class may speak against it, and so help to draw the
# map.

# %%
rows = training_rows(fitted, target, np.asarray(found.indices))
own_class = dataset.train.labels[rows] == np.asarray(found.columns)[:, None]
print(f"of the class decided for: {own_class[:, 0].mean():.0%} of the first, {own_class.mean():.0%} of the first five")
speaks_for = np.asarray(found.coefficients) > 0
print(
    f"speaking for it: {speaks_for[own_class].mean():.0%} of those, {speaks_for[~own_class].mean():.0%} of the others"
)

# %% [markdown]
# ## Near, but not too near
#
# Distances of the first five from the image they answer for, in units of $d^*$: they gather around one.

# %%
distances = np.asarray(found.distances) / found.critical_distance
edges = [0, 0.25, 0.5, 0.75, 1, 1.25, 1.5, 2, np.inf]
for low, high in itertools.pairwise(edges):
    part = ((distances >= low) & (distances < high)).mean()
    print(f"{low:>5} to {high:<5} d*: {part:6.1%} {'#' * round(100 * part)}")

# %% [markdown]
# ## Images that speak everywhere
#
# Some training images come first for many decisions. Such an image is worth a look: it is often odd, or its label
# wrong, and the classifier leans on it.

# %%
first = Counter(rows[:, 0].tolist())
for row, times in first.most_common(5):
    print(
        f"training image {row:3} ({dataset.class_names[dataset.train.labels[row]]}) comes first for {times} test images"
    )

# %% [markdown]
# ## Who misled it
#
# Of the wrong decisions, the one whose map one training image of another class than the true one gives most of.

# %%
mistaken = np.flatnonzero(np.asarray(found.columns) != dataset.test.labels)
misled = mistaken[dataset.train.labels[rows[mistaken, 0]] != dataset.test.labels[mistaken]]
chosen = int(misled[shares[misled, 0].argmax()])
print("in truth:", dataset.class_names[dataset.test.labels[chosen]])
figure = evidence_figure(fitted, chosen, count=4)
figure.set_dpi(75)
figure

# %% [markdown]
# A caution: the parts are those of a map, and a map is made of derivatives. A training image with a large part is one
# that would move the score if the picture changed a little. What a training image adds to the score itself is its term
# $c_i k(s_i, v)$, and the two need not agree: the nearest adds most and may move nothing.

# %%
one = evidence_of(fitted, np.array([ROW]), target, count=10**6)
most = int(np.abs(np.asarray(one.terms[0])).argmax())
distance = float(one.distances[0, most]) / one.critical_distance
print(f"the image that adds most to the score, at {distance:.2f} d*, has part {most + 1} of the map by size")
