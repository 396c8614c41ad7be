"""What the tests of evidence share: a fitted world, and the parts of a map by loops over scikit-learn's attributes."""

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
    """A head with the raw parts that it was built from, and a few examples."""

    head: Any
    dense: list
    pca: Any
    svms: dict
    maps: np.ndarray
    pool: bool


@functools.cache
def world(classes=CLASSES, *, components=3, pool=False):
    rng = np.random.default_rng(len(classes) + 10 * pool)
    which = np.arange(60) % len(classes)
    maps = np.maximum(rng.normal(size=(len(classes), *SHAPE))[which] + rng.normal(size=(60, *SHAPE)), 0)
    sizes = (2 * 2 * 3 if pool else 60, 6, 5, len(classes))
    dense = [(rng.normal(size=(i, o)) * 2 / np.sqrt(i), rng.normal(size=o)) for i, o in itertools.pairwise(sizes)]
    x = np.array([pooled(own) for own in maps]) if pool else maps
    x = x.reshape(60, -1)
    for kernel, bias in dense[:2]:
        x = expit(x @ kernel + bias)
    pca = PCA(components, svd_solver="full").fit(x) if components else None
    v, labels = x if pca is None else pca.transform(x), np.array(classes)[which]
    svms = {
        "svm_rbf": SVC(gamma=0.7).fit(v, labels),
        "scaled": make_pipeline(StandardScaler(), StandardScaler(with_std=False), SVC(gamma=0.2, C=5)).fit(v, labels),
        "svm_linear": make_pipeline(StandardScaler(), SVC(kernel="linear")).fit(v, labels),
        "poly": SVC(kernel="poly", gamma=0.4, coef0=1).fit(v, labels),
        "logistic": LogisticRegression().fit(v, labels),
        "svr": SVR(gamma=0.5, epsilon=0.2).fit(v, which),
    }
    with jax.enable_x64(True):
        head = hybrid_head(dense, pca=pca, svms=svms, maps_shape=SHAPE, activation="sigmoid", pool=pool)
    return World(head, dense, pca, svms, maps[:5], pool)


@functools.cache
def found(name="svm_rbf", entry="predicted", count=4, **options):
    own = world(**options)
    support = expansion_of(own.svms[name], collapse=False) if name == "svm_linear" else None
    return evidence(own.head, own.maps, f"{name}:{entry}", count=count, support=support)


@functools.cache
def explained_by(**options):
    """The maps of every target used here, by name."""
    own = world(**options)
    targets = [f"{name}:{'0' if name == 'svr' else 'predicted'}" for name in own.svms]
    targets += [f"svm_rbf:{entry}" for entry in own.head.outputs["svm_rbf"]]
    return explain(own.head, own.maps, targets)


def pooled(maps):
    """The largest of every 2 x 2 cell."""
    out = np.zeros((maps.shape[0] // 2, maps.shape[1] // 2, maps.shape[2]))
    for i, j, k in np.ndindex(out.shape):
        out[i, j, k] = maps[2 * i : 2 * i + 2, 2 * j : 2 * j + 2, k].max()
    return out


def read_by(own, maps):
    """v (or x_m) and dv/dF, (D, h, w, K)."""
    jacobian = np.eye(maps.size).reshape(maps.size, *maps.shape)
    x = maps.reshape(-1)
    if own.pool:
        small, rows = pooled(maps), []
        for i, j, k in np.ndindex(small.shape):
            row = np.zeros(maps.shape)
            cell = [(2 * i + a, 2 * j + b) for a in (0, 1) for b in (0, 1)]
            row[(*next(place for place in cell if maps[(*place, k)] == small[i, j, k]), k)] = 1
            rows.append(row)
        x, jacobian = small.reshape(-1), np.array(rows)
    for kernel, bias in own.dense[:2]:
        u = x @ kernel + bias
        x = 1 / (1 + np.exp(-u))
        jacobian = np.tensordot((x * (1 - x))[:, None] * kernel.T, jacobian, axes=1)
    if own.pca is None:
        return x, jacobian
    return own.pca.components_ @ (x - own.pca.mean_), np.tensordot(own.pca.components_, jacobian, axes=1)


def multiplier(svc, c, i):
    """The sum over all pairs that hold class c of support vector i's alpha t, signed toward c; c None for an SVR."""
    if c is None:
        return svc.dual_coef_[0, i]
    if len(svc.classes_) == 2:
        return svc.dual_coef_[0, i] * (1 if c == 1 else -1)
    ends = np.cumsum(svc.n_support_)
    own = int(np.searchsorted(ends, i, side="right"))
    total = 0.0
    for other in range(len(svc.classes_)):
        if other == own or c not in (own, other):
            continue
        first = min(own, other)
        coefficient = svc.dual_coef_[other - 1 if own < other else other, i]
        total += coefficient if c == first else -coefficient
    return total


def kernel_by(svc, s, z):
    """k(s, z) and dk/dz."""
    if svc.kernel == "linear":
        return s @ z, s
    if svc.kernel == "poly":
        base = svc.gamma * (s @ z) + svc.coef0
        return base**svc.degree, svc.degree * svc.gamma * base ** (svc.degree - 1) * s
    k = np.exp(-svc.gamma * np.sum((s - z) ** 2))
    return k, 2 * svc.gamma * k * (s - z)


class Part(NamedTuple):
    index: int
    map: np.ndarray
    coefficient: float
    kernel: float
    influence: float
    distance: float


def parts_by_loops(own, name, c, maps):
    """One Part for every support vector, in the order of the estimator."""
    v, jacobian = read_by(own, maps)
    steps = [step for _, step in own.svms[name].steps] if hasattr(own.svms[name], "steps") else [own.svms[name]]
    z, slope = v, np.ones(len(v))
    for scaler in steps[:-1]:
        scale = np.ones(len(v)) if scaler.scale_ is None else scaler.scale_
        z, slope = (z - scaler.mean_) / scale, slope / scale
    out = []
    for i, s in enumerate(steps[-1].support_vectors_):
        coefficient = multiplier(steps[-1], c, i)
        k, gradient = kernel_by(steps[-1], s, z)
        on_maps = np.tensordot(coefficient * gradient * slope, jacobian, axes=1)
        heat = np.zeros(maps.shape[:2])
        for channel in range(maps.shape[2]):
            heat += on_maps[:, :, channel].mean() * maps[:, :, channel]
        distance = np.sqrt(np.sum((s - z) ** 2))
        out.append(Part(i, heat, coefficient, k, np.sqrt(np.sum(gradient**2)), distance))
    return out


def fields(got):
    return {own.name: getattr(got, own.name) for own in dataclasses.fields(Evidence)}


def check_alike(got, expected, tolerance):
    np.testing.assert_array_equal(got.indices, expected.indices)
    for name, own in fields(got).items():
        if name in ("target", "labels", "indices"):
            np.testing.assert_array_equal(own, getattr(expected, name))
        else:
            assert relative_error(own, getattr(expected, name)) < tolerance, name
