"""Helpers for the tests of evidence: a fitted head, and the terms of a map by loops over scikit-learn's attributes."""

import dataclasses
import functools
import itertools
from typing import Any, NamedTuple

import jax
import numpy as np
from scipy.special import expit
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, SVR

from pcacam_jax import explain, hybrid_head
from pcacam_jax.cam.evidence import Evidence, evidence
from pcacam_jax.core.numerics import relative_error
from pcacam_jax.scikit.svm import expansion_of

SHAPE = (4, 5, 3)
CLASSES = ("wolf", "ant", "cat", "owl")


class World(NamedTuple):
    """A head, the arrays and estimators that it was built from, and five examples."""

    head: Any
    dense: list
    pca: Any
    svms: dict
    maps: np.ndarray
    pool: bool


@functools.cache
def world(classes=CLASSES, *, components=3, pool=False):
    rng = np.random.default_rng(len(classes) + 10 * pool)
    label = np.arange(60) % len(classes)
    maps = np.maximum(rng.normal(size=(len(classes), *SHAPE))[label] + rng.normal(size=(60, *SHAPE)), 0)
    sizes = (2 * 2 * 3 if pool else 60, 6, 5, len(classes))
    dense = [(rng.normal(size=(i, o)) * 2 / np.sqrt(i), rng.normal(size=o)) for i, o in itertools.pairwise(sizes)]
    x = np.array([pooled(each) for each in maps]) if pool else maps
    x = x.reshape(60, -1)
    for kernel, bias in dense[:2]:
        x = expit(x @ kernel + bias)
    pca = PCA(components, svd_solver="full").fit(x) if components else None
    v, labels = x if pca is None else pca.transform(x), np.array(classes)[label]
    svms = {
        "svm_rbf": SVC(gamma=0.7).fit(v, labels),
        "scaled": make_pipeline(StandardScaler(), StandardScaler(with_std=False), SVC(gamma=0.2, C=5)).fit(v, labels),
        "svm_linear": make_pipeline(StandardScaler(), SVC(kernel="linear")).fit(v, labels),
        "poly": SVC(kernel="poly", gamma=0.4, coef0=1).fit(v, labels),
        "logistic": LogisticRegression().fit(v, labels),
        "svr": SVR(gamma=0.5, epsilon=0.2).fit(v, label),
    }
    with jax.enable_x64(True):
        head = hybrid_head(dense, pca=pca, svms=svms, maps_shape=SHAPE, activation="sigmoid", pool=pool)
    return World(head, dense, pca, svms, maps[:5], pool)


@functools.cache
def evidence_in_world(name="svm_rbf", entry="predicted", count=4, **options):
    data = world(**options)
    support = expansion_of(data.svms[name], collapse=False) if name == "svm_linear" else None
    return evidence(data.head, data.maps, f"{name}:{entry}", count=count, support=support)


@functools.cache
def explanation_in_world(**options):
    """The explanation of every target that the tests use."""
    data = world(**options)
    targets = [f"{name}:{'0' if name == 'svr' else 'predicted'}" for name in data.svms]
    targets += [f"svm_rbf:{entry}" for entry in data.head.outputs["svm_rbf"]]
    return explain(data.head, data.maps, targets)


def pooled(maps):
    """2 x 2 max-pooling."""
    out = np.zeros((maps.shape[0] // 2, maps.shape[1] // 2, maps.shape[2]))
    for i, j, k in np.ndindex(out.shape):
        out[i, j, k] = maps[2 * i : 2 * i + 2, 2 * j : 2 * j + 2, k].max()
    return out


def components_and_jacobian(data, maps):
    """v (or x_m without a PCA), and dv/dF, (D, h, w, K)."""
    jacobian = np.eye(maps.size).reshape(maps.size, *maps.shape)
    x = maps.reshape(-1)
    if data.pool:
        small, rows = pooled(maps), []
        for i, j, k in np.ndindex(small.shape):
            row = np.zeros(maps.shape)
            cell = [(2 * i + a, 2 * j + b) for a in (0, 1) for b in (0, 1)]
            row[(*next(place for place in cell if maps[(*place, k)] == small[i, j, k]), k)] = 1
            rows.append(row)
        x, jacobian = small.reshape(-1), np.array(rows)
    for kernel, bias in data.dense[:2]:
        u = x @ kernel + bias
        x = 1 / (1 + np.exp(-u))
        jacobian = np.tensordot((x * (1 - x))[:, None] * kernel.T, jacobian, axes=1)
    if data.pca is None:
        return x, jacobian
    return data.pca.components_ @ (x - data.pca.mean_), np.tensordot(data.pca.components_, jacobian, axes=1)


def multiplier(svc, c, i):
    """The sum of alpha_i t_i over all pairs with class c, signed toward c; for an SVR c is None."""
    if c is None:
        return svc.dual_coef_[0, i]
    if len(svc.classes_) == 2:
        return svc.dual_coef_[0, i] * (1 if c == 1 else -1)
    ends = np.cumsum(svc.n_support_)
    label = int(np.searchsorted(ends, i, side="right"))
    total = 0.0
    for other in range(len(svc.classes_)):
        if other == label or c not in (label, other):
            continue
        first = min(label, other)
        coefficient = svc.dual_coef_[other - 1 if label < other else other, i]
        total += coefficient if c == first else -coefficient
    return total


def kernel_and_gradient(svc, s, z):
    """k(s, z) and dk(s, z)/dz."""
    if svc.kernel == "linear":
        return s @ z, s
    if svc.kernel == "poly":
        base = svc.gamma * (s @ z) + svc.coef0
        return base**svc.degree, svc.degree * svc.gamma * base ** (svc.degree - 1) * s
    k = np.exp(-svc.gamma * np.sum((s - z) ** 2))
    return k, 2 * svc.gamma * k * (s - z)


def map_by_loops(gradient, maps, method):
    """The signed map of a gradient, (h, w, K), by Grad-CAM, XGrad-CAM or HiResCAM."""
    heat = np.zeros(maps.shape[:2])
    for k in range(maps.shape[2]):
        weight = gradient[:, :, k]
        if method == "gradcam":
            weight = weight.mean()
        elif method == "xgradcam":
            weight = (weight * maps[:, :, k]).sum() / maps[:, :, k].sum()
        heat += weight * maps[:, :, k]
    return heat


class Term(NamedTuple):
    """One support vector's term of a map, and numbers about it."""

    index: int
    map: np.ndarray
    coefficient: float
    kernel: float
    influence: float
    distance: float


def terms_by_loops(data, name, c, maps, method="hirescam"):
    """One Term for each support vector, in the order of the estimator."""
    v, jacobian = components_and_jacobian(data, maps)
    svm = data.svms[name]
    steps = [step for _, step in svm.steps] if hasattr(svm, "steps") else [svm]
    z, slope = v, np.ones(len(v))
    for scaler in steps[:-1]:
        scale = np.ones(len(v)) if scaler.scale_ is None else scaler.scale_
        z, slope = (z - scaler.mean_) / scale, slope / scale
    out = []
    for i, s in enumerate(steps[-1].support_vectors_):
        coefficient = multiplier(steps[-1], c, i)
        k, gradient = kernel_and_gradient(steps[-1], s, z)
        on_maps = np.tensordot(coefficient * gradient * slope, jacobian, axes=1)
        heat = map_by_loops(on_maps, maps, method)
        distance = np.sqrt(np.sum((s - z) ** 2))
        out.append(Term(i, heat, coefficient, k, np.sqrt(np.sum(gradient**2)), distance))
    return out


def fields(got):
    return {field.name: getattr(got, field.name) for field in dataclasses.fields(Evidence)}


def check_equal(got, expected, tolerance):
    np.testing.assert_array_equal(got.indices, expected.indices)
    for name, value in fields(got).items():
        if name in ("target", "labels", "indices"):
            np.testing.assert_array_equal(value, getattr(expected, name))
        else:
            assert relative_error(value, getattr(expected, name)) < tolerance, name
