# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Which training images are behind a decision?
#
# A support vector machine decides by comparing an image with some of its training images, the support vectors. The map
# of a decision shows which regions of the image raise or lower the score. It is exactly a sum over the support vectors,
# with one contribution for each of these training images. This notebook shows for a fitted network which training
# images a decision depends on, how much each of them contributes to the map, and what this says about the data.
#
# The data are 50 training and 30 test images per class of Fashion-MNIST, which are included in the package. The first
# run takes about a minute. Later runs take seconds, because the features are cached.

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
fitted = fit(dataset, FitConfig(size=96))
for name, svm in fitted.svms.items():
    f1 = fitted.metrics["metrics"][name]["test_f1"]
    print(
        f"{name:10} {len(svm.support_)} of {len(dataset.train)} training images are support vectors; test F1 {f1:.3f}"
    )

# %% [markdown]
# ## One decision
#
# On the left are a test image and the signed map of its decision: orange regions raise the score of the class, blue
# regions lower it. On the right are the training images with the largest contributions to this map. The maps below them
# are drawn over the test image. Together with the sum of all other contributions, they add up to the map on the left.

# %%
ROW = 64
figure = evidence_figure(fitted, ROW, count=4)
figure.set_dpi(75)
figure

# %% [markdown]
# In an RBF SVM, a training image that is far away has little influence on the map. A training image that is very close
# has little influence too, because the kernel has its maximum there and its derivative is zero (Theorem 1 of the
# paper). The influence is largest at the distance $d^* = 1/\sqrt{2\gamma}$ (Theorem 2). A linear SVM has no such
# distance; its contributions to the same decision are shown next.

# %%
figure = evidence_figure(fitted, ROW, "svm_linear:predicted", count=4)
figure.set_dpi(75)
figure

# %% [markdown]
# ## The sum is exact
#
# The contributions of the first support vectors and the sum of all others (`rest`) add up to the map that `explain`
# returns. The contributions of the components add up to the same map.

# %%
maps = fitted.tap_maps["test"][:]
target = "svm_rbf:predicted"
by_image = evidence(fitted.head, maps, target, count=5)
by_component = decompose(fitted.head, maps, target)
whole = np.asarray(explain(fitted.head, maps, target).signed[:, 0])
for name, total in (("support vectors", by_image.signed), ("components", by_component.signed)):
    print(f"{name:16} largest difference {np.abs(np.asarray(total) - whole).max() / np.abs(whole).max():.1e}")
    assert np.abs(np.asarray(total) - whole).max() < 1e-4 * np.abs(whole).max()

# %% [markdown]
# ## How many training images decide
#
# The share of a training image is the norm of its contribution, divided by the sum of the norms of all contributions.

# %%
shares = np.asarray(by_image.shares)
for count in (1, 3, 5):
    median = np.median(shares[:, :count].sum(axis=1))
    print(f"the {count} largest of {by_image.support_vectors} contributions: {median:.0%} of the map (median)")
component_shares = np.asarray(by_component.shares).mean(axis=0)
print("mean shares of the components:", ", ".join(f"{share:.0%}" for share in component_shares))

# %% [markdown]
# Do these training images belong to the predicted class? A training image of another class may count against the
# predicted class and still contribute to the map.

# %%
rows = training_rows(fitted, target, np.asarray(by_image.indices))
same_class = dataset.train.labels[rows] == np.asarray(by_image.columns)[:, None]
print(f"of the predicted class: {same_class[:, 0].mean():.0%} of the first, {same_class.mean():.0%} of the first five")
supports = np.asarray(by_image.coefficients) > 0
print(f"supporting it: {supports[same_class].mean():.0%} of these, {supports[~same_class].mean():.0%} of the others")

# %% [markdown]
# ## Close, but not too close
#
# The distances of the first five training images from the explained image, in units of $d^*$. Most of them are near
# one.

# %%
distances = np.asarray(by_image.distances) / by_image.critical_distance
edges = [0, 0.25, 0.5, 0.75, 1, 1.25, 1.5, 2, np.inf]
for low, high in itertools.pairwise(edges):
    fraction = ((distances >= low) & (distances < high)).mean()
    print(f"{low:>5} to {high:<5} d*: {fraction:6.1%} {'#' * round(100 * fraction)}")

# %% [markdown]
# ## Training images behind many decisions
#
# Some training images have the largest contribution to many decisions. Such an image is worth inspecting: it may be
# unusual or have a wrong label, and the classifier depends on it.

# %%
first = Counter(rows[:, 0].tolist())
for row, times in first.most_common(5):
    class_name = dataset.class_names[dataset.train.labels[row]]
    print(f"training image {row:3} ({class_name}) has the largest contribution on {times} test images")

# %% [markdown]
# ## A wrong decision
#
# The next figure shows a wrong decision. It is chosen from the decisions whose largest contribution comes from a
# training image that does not belong to the true class. In the chosen decision, this contribution has the largest
# share.

# %%
mistaken = np.flatnonzero(np.asarray(by_image.columns) != dataset.test.labels)
misled = mistaken[dataset.train.labels[rows[mistaken, 0]] != dataset.test.labels[mistaken]]
chosen = int(misled[shares[misled, 0].argmax()])
print("true class:", dataset.class_names[dataset.test.labels[chosen]])
figure = evidence_figure(fitted, chosen, count=4)
figure.set_dpi(75)
figure

# %% [markdown]
# A contribution to a map is not a contribution to the score, because a map consists of derivatives. If a training image
# has a large contribution to the map, small changes of the explained image change its term of the score,
# $c_i k(s_i, v)$, strongly. The term itself may be small. Conversely, the training image that is closest to the
# explained image can have the largest term and almost no influence on the map.

# %%
one = evidence_of(fitted, np.array([ROW]), target, count=10**6)
most = int(np.abs(np.asarray(one.terms[0])).argmax())
distance = float(one.distances[0, most]) / one.critical_distance
print(f"the training image with the largest term, at {distance:.2f} d*, has rank {most + 1} by contribution to the map")
