# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # A tour: where did the network look for each principal component and each SVM decision?
#
# A VGG16 with ImageNet weights turns images into feature maps. A small dense head is trained on these maps, and
# scikit-learn fits a PCA and two SVMs on the output of its second layer. Closed-form Jacobians then show which regions
# of an image raise or lower each component and each decision. The data are 100 training and 30 test images per class of
# Fashion-MNIST, which are included in the package. The first run takes about a minute. Later runs take seconds, because
# the features are cached.

# %%
# %matplotlib inline
import numpy as np

from pcacam_jax import explain
from pcacam_jax.data import read_dataset
from pcacam_jax.fitting.config import FitConfig
from pcacam_jax.fitting.fit import fit
from pcacam_jax.reports.figures import contribution_ratios, feature_space, grid, influence, learning_curve

# %% [markdown]
# ## Fit
#
# `fit` computes the features of every image and trains the head (40, 30, 20 and 10 units). It then fits a PCA with
# three components on the output of the second layer, and a linear and an RBF SVM on the components. Every converted
# estimator is compared with scikit-learn's output.

# %%
dataset = read_dataset("fashion_mnist_sample")
fitted = fit(dataset, FitConfig(size=96))
for name, scores in fitted.metrics["metrics"].items():
    print(f"{name:12} macro F1 train {scores['train_f1']:.3f}, test {scores['test_f1']:.3f}")

# %%
learning_curve(fitted)

# %% [markdown]
# ## The components
#
# The PCA describes each image by three numbers. The first figure shows the share of the variance that each component
# explains.

# %%
contribution_ratios(fitted)

# %% [markdown]
# The three numbers already separate the classes. Support vectors of the RBF SVM are ringed.

# %%
feature_space(fitted)

# %% [markdown]
# ## Where the network looked
#
# Each row shows one image: the map of the CNN's predicted class, the maps of both SVMs' decisions, and for each
# component the regions that raise it ($L^+$) and lower it ($L^-$). Each pair $L^+$, $L^-$ shares one colour scale.
# The maps are those of HiResCAM, the default. `grid(fitted, method="gradcam")` draws those of the paper.

# %%
figure = grid(fitted)
figure.set_dpi(60)
figure

# %% [markdown]
# ## An SVM's map is a weighted sum of the components' maps
#
# The weights are the derivatives of the class margin with respect to the components, $\partial s / \partial v_r$. The
# identity is exact, so a decision can be explained component by component.

# %%
maps = fitted.tap_maps["test"][:50]
explanation = explain(fitted.head, maps, ["pca", "svm_rbf:predicted"])
weights = np.asarray(explanation.mixture["svm_rbf:predicted"])
components, decision = np.asarray(explanation.signed[:, :3]), np.asarray(explanation.signed[:, 3])
mixed = np.einsum("bd,bdhw->bhw", weights, components)
print("largest difference", np.abs(mixed - decision).max(), "for maps with values up to", np.abs(decision).max())
print("weights of the first image:", weights[0].round(3), "for class", explanation.labels[0, 3])

# %% [markdown]
# ## Which support vectors matter
#
# The influence of a support vector on the map of an RBF SVM depends only on its distance from the image. It tends to 0
# for very small and very large distances and is largest at $d^* = 1 / \sqrt{2 \gamma}$.

# %%
influence(fitted)

# %% [markdown]
# ## Verification
#
# `fit` compares the closed-form Jacobians of this head with reverse-mode autodiff, forward-mode autodiff and central
# differences, in both precisions. The table shows the relative errors.

# %%
for row in fitted.certificate.comparisons:
    print(f"{row.name:18} {row.dtype} {row.witness:18} {row.error:.1e} {'ok' if row.passed else 'FAILED'}")
