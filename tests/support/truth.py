"""Reference values and Jacobians of each stage from NumPy, SciPy and scikit-learn, entry by entry."""

import functools
import itertools
import math

import numpy as np
from scipy.special import boxcox, expit, log_softmax, softmax
from scipy.stats import norm, yeojohnson
from sklearn.metrics.pairwise import linear_kernel, rbf_kernel, sigmoid_kernel

import pcacam_jax
from pcacam_jax import stages
from pcacam_jax.stages.parallel import Parallel

ACTIVATIONS = {
    "identity": (lambda u: u, lambda u: 1.0),
    "sigmoid": (expit, lambda u: 1 / (2 + math.exp(u) + math.exp(-u))),
    "relu": (lambda u: max(u, 0.0), lambda u: float(u > 0)),
    "tanh": (math.tanh, lambda u: 1 / math.cosh(u) ** 2),
    "softplus": (lambda u: math.log(1 + math.exp(u)), expit),
    "gelu": (lambda u: u * (1 + math.erf(u / math.sqrt(2))) / 2, lambda u: norm.cdf(u) + u * norm.pdf(u)),
    "gelu_tanh": (lambda u: u * (1 + math.tanh(inner_of_gelu(u))) / 2, lambda u: slope_of_gelu_tanh(u)),
    "leaky_relu": (lambda u: u if u > 0 else 0.01 * u, lambda u: 1.0 if u > 0 else 0.01),
    "leaky_relu:0.2": (lambda u: u if u > 0 else 0.2 * u, lambda u: 1.0 if u > 0 else 0.2),
    "elu": (lambda u: u if u > 0 else math.exp(u) - 1, lambda u: 1.0 if u > 0 else math.exp(u)),
    "elu:0.5": (lambda u: u if u > 0 else math.expm1(u) / 2, lambda u: 1.0 if u > 0 else math.exp(u) / 2),
    "selu": (
        lambda u: 1.0507009873554805 * (u if u > 0 else 1.6732632423543772 * math.expm1(u)),
        lambda u: 1.0507009873554805 * (1.0 if u > 0 else 1.6732632423543772 * math.exp(u)),
    ),
    "silu": (lambda u: u * expit(u), lambda u: expit(u) + u * expit(u) * expit(-u)),
    "mish": (
        lambda u: u * math.tanh(np.logaddexp(u, 0)),
        lambda u: math.tanh(np.logaddexp(u, 0)) + u * expit(u) / math.cosh(np.logaddexp(u, 0)) ** 2,
    ),
    "relu6": (lambda u: min(max(u, 0.0), 6.0), lambda u: float(0 < u < 6)),
    "hard_sigmoid": (lambda u: min(max(u / 6 + 1 / 2, 0), 1), lambda u: float(-3 < u < 3) / 6),
    "hard_swish": (
        lambda u: u * min(max(u + 3, 0), 6) / 6,
        lambda u: 0.0 if u <= -3 else 1.0 if u >= 3 else u / 3 + 1 / 2,
    ),
    "softsign": (lambda u: u / (1 + abs(u)), lambda u: 1 / (1 + abs(u)) ** 2),
    "cosine": (math.cos, lambda u: -math.sin(u)),
    "exp": (math.exp, math.exp),
    "log": (math.log, lambda u: 1 / u),
    "log_sigmoid": (lambda u: -math.log1p(math.exp(-u)), lambda u: expit(-u)),
}


def inner_of_gelu(u):
    return math.sqrt(2 / math.pi) * (u + 0.044715 * u**3)


def slope_of_gelu_tanh(u):
    inner = inner_of_gelu(u)
    slope = math.sqrt(2 / math.pi) * (1 + 0.134145 * u**2)
    return (1 + math.tanh(inner)) / 2 + (u * slope / math.cosh(inner) ** 2 / 2 if abs(inner) < 300 else 0)


@functools.singledispatch
def truth(stage, x):
    """Return the value and the Jacobian, (out size, in size), of a stage at a point, in float64."""
    raise NotImplementedError(type(stage))


@truth.register
def _(stage: pcacam_jax.Elementwise, u):
    function, derivative = ACTIVATIONS[stage.name]
    return [function(value) for value in u], np.diag([derivative(value) for value in u])


@truth.register
def _(stage: pcacam_jax.Dense, x):
    kernel = np.float64(stage.kernel)
    u = kernel.T @ x + stage.bias
    value, slope = truth(pcacam_jax.Elementwise(stage.activation, len(u)), u)
    return value, slope @ kernel.T


@truth.register
def _(stage: pcacam_jax.Flatten, maps):
    h, w, channels = maps.shape
    if stage.order == "channels_last":
        return [maps[i, j, k] for i in range(h) for j in range(w) for k in range(channels)], np.eye(maps.size)
    slope = np.zeros((maps.size, *maps.shape))
    for i, j, k in np.ndindex(maps.shape):
        slope[(k * h + i) * w + j, i, j, k] = 1
    value = [maps[i, j, k] for k in range(channels) for i in range(h) for j in range(w)]
    return value, slope.reshape(maps.size, maps.size)


@truth.register
def _(stage: pcacam_jax.MaxPool, maps):
    h, w, channels = maps.shape
    value = np.zeros((h // 2, w // 2, channels))
    routing = np.zeros((*value.shape, *maps.shape))
    for i, j, k in np.ndindex(value.shape):
        places = [(2 * i + a, 2 * j + b, k) for a, b in itertools.product((0, 1), (0, 1))]
        winner = max(places, key=lambda place: maps[place])  # the first of equal values
        value[i, j, k] = maps[winner]
        routing[(i, j, k, *winner)] = 1
    return value, routing.reshape(value.size, maps.size)


@truth.register
def _(stage: pcacam_jax.Affine, x):
    return np.float64(stage.matrix) @ (x - stage.center) + stage.offset, np.float64(stage.matrix)


@truth.register
def _(stage: pcacam_jax.Scaling, x):
    return np.float64(stage.scale) * (x - stage.center), np.diag(np.float64(stage.scale))


KERNELS = {
    "linear": (linear_kernel, lambda s, v: s),
    "rbf": (rbf_kernel, lambda s, v, gamma: 2 * gamma * math.exp(-gamma * sum((s - v) ** 2)) * (s - v)),
    "poly": (
        lambda support, v, gamma, coef0, degree: (gamma * support @ v.T + coef0) ** degree,
        lambda s, v, gamma, coef0, degree: s * (gamma * degree * (gamma * s @ v + coef0) ** (degree - 1)),
    ),
    "sigmoid": (sigmoid_kernel, lambda s, v, gamma, coef0: s * gamma / math.cosh(gamma * s @ v + coef0) ** 2),
}


@truth.register
def _(stage: pcacam_jax.KernelExpansion, v):
    support = np.float64(stage.support)
    coefficients = np.eye(len(support)) if stage.coefficients is None else np.float64(stage.coefficients)
    parameters = {name: float(value) for name, value in stage.parameters.items()}
    kernel, gradient = KERNELS[stage.kernel]
    values = kernel(support, v[None], **parameters)[:, 0]
    gradients = np.array([gradient(s, v, **parameters) for s in support])
    return coefficients @ values + stage.intercept, coefficients @ gradients


@truth.register
def _(stage: stages.Append, x):
    return [*x, *stage.values], np.eye(len(x) + len(stage.values))[:, : len(x)]


@truth.register
def _(stage: stages.Take, x):
    return [x[i] for i in stage.indices], [[float(i == j) for j in range(stage.size)] for i in stage.indices]


NORMS = {
    "l1": (lambda x: sum(abs(x)), np.sign),
    "l2": (lambda x: math.sqrt(sum(x * x)), lambda x: x / math.sqrt(sum(x * x))),
    "max": (lambda x: max(abs(x)), lambda x: np.sign(x) * (np.arange(len(x)) == list(abs(x)).index(max(abs(x))))),
}


@truth.register
def _(stage: stages.Normalise, x):
    if not x.any():
        return x, np.eye(len(x))
    size, gradient = (function(x) for function in NORMS[stage.norm])
    slopes = [
        [((i == j) - x[i] * gradient[j] / size) / size for j in range(len(x))]  # the quotient rule, entry by entry
        for i in range(len(x))
    ]
    return x / size, slopes


POWERS = {
    "yeo-johnson": (
        lambda x, power: yeojohnson([x], power)[0],
        lambda x, power: (1 + x) ** (power - 1) if x >= 0 else (1 - x) ** (1 - power),
    ),
    "box-cox": (boxcox, lambda x, power: x ** (power - 1)),
}


@truth.register
def _(stage: stages.Power, x):
    function, derivative = POWERS[stage.method]
    pairs = list(zip(x, np.float64(stage.exponents), strict=True))
    return [function(*pair) for pair in pairs], np.diag([derivative(*pair) for pair in pairs])


@truth.register
def _(stage: stages.Softmax, y):
    p = softmax(y)
    each = range(len(y))
    if stage.log:
        return log_softmax(y), [[(i == j) - p[j] for j in each] for i in each]
    return p, [[p[i] * ((i == j) - p[j]) for j in each] for i in each]


@truth.register
def _(stage: stages.Quadratic, x):
    factors, centers = np.float64(stage.factors), np.float64(stage.centers)
    inverses = [factor.T @ factor for factor in factors]
    differences = [x - center for center in centers]
    value = [o - d @ q @ d / 2 for o, q, d in zip(stage.offset, inverses, differences, strict=True)]
    return value, [-q @ d for q, d in zip(inverses, differences, strict=True)]


@truth.register
def _(stage: stages.DiagonalQuadratic, x):
    factors = np.array([np.diag(np.sqrt(row)) for row in np.float64(stage.precisions)])
    return truth(stages.Quadratic(factors, stage.centers, stage.offset), x)


@truth.register
def _(stage: stages.GlobalAverage, maps):
    h, w, channels = maps.shape
    slopes = np.zeros((channels, *maps.shape))
    for i, j, k in np.ndindex(maps.shape):
        slopes[k, i, j, k] = 1 / (h * w)
    return [sum(maps[..., k].ravel()) / (h * w) for k in range(channels)], slopes.reshape(channels, -1)


def pair_list(classes):
    return [(i, j) for i in range(classes) for j in range(i + 1, classes)]


@truth.register
def _(stage: pcacam_jax.PairwiseMargins, g):
    if stage.classes == 2:
        return [-g[0], g[0]], [[-1], [1]]
    pairs = pair_list(stage.classes)
    signs = np.array([[(c == i) - (c == j) for i, j in pairs] for c in range(stage.classes)])
    return signs @ g, signs


@truth.register
def _(stage: pcacam_jax.OvrDecision, g):
    s, signs = truth(pcacam_jax.PairwiseMargins(stage.classes), g)
    winners = [i if g[p] >= 0 else j for p, (i, j) in enumerate(pair_list(stage.classes))]
    ballots = np.bincount(winners, minlength=stage.classes)
    squash = [1 / (3 * (abs(margin) + 1)) for margin in s]
    return ballots + s * squash, [row * 3 * q * q for row, q in zip(signs, squash, strict=True)]


@truth.register
def _(stage: pcacam_jax.OneVsOneExpansion, v):
    """One expansion per pair, with coefficients picked one by one from scikit-learn's layout."""
    classes, dual = len(stage.counts), np.float64(stage.dual)
    labels = [c for c in range(classes) for _ in range(stage.counts[c])]
    rows = np.zeros((len(stage.intercept), len(labels)))
    for p, (i, j) in enumerate(pair_list(classes)):
        for s, label in enumerate(labels):
            if label in (i, j):
                rows[p, s] = dual[j - 1 if label == i else i, s]
    dense = pcacam_jax.KernelExpansion(stage.support, rows, stage.intercept, stage.parameters, stage.kernel)
    return truth(dense, v)


@truth.register
def _(stage: pcacam_jax.SVMClassifier, v):
    return truth(pcacam_jax.Chain((stage.pairs, pcacam_jax.PairwiseMargins(stage.classes))), v)


@truth.register
def _(stage: pcacam_jax.Chain, x):
    total = np.eye(x.size)
    for part in stage.stages:
        value, slope = truth(part, x)
        x, total = np.asarray(value), slope @ total
    return x, total


@truth.register
def _(stage: Parallel, x):
    values, slopes = zip(*(truth(part, x) for part in stage.stages), strict=True)
    return np.concatenate(values), np.concatenate(slopes)


@truth.register
def _(stage: stages.Classifier, x):
    value, slope = truth(stage.scores, x)
    if stage.rule == "sign":
        return [-value[0], value[0]], np.array([[-1], [1]]) @ slope
    return value, slope
