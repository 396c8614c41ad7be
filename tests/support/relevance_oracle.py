"""Relevance of a head by NumPy loops, from the z+ rule (Bach et al. 2015 with alpha = 1, beta = 0; Lee et al. 2021).

It shares no code with the library. The relevance of a unit is a dictionary from a direction, +1 or -1, to a number: +1
supports the target by a high value of the unit, -1 by a low value.
"""

import numpy as np
from support import lift_oracle, oracle


def share(weights, x, relevance):
    """The relevance of the inputs of units ``sum_i weights[j, i] x[i]`` from that of the units."""
    out = [{1: 0.0, -1: 0.0} for _ in x]
    for j, unit in enumerate(relevance):
        for direction, amount in unit.items():
            parts = [max(direction * x[i] * weights[j][i], 0.0) for i in range(len(x))]
            if sum(parts) > 0:
                for i in range(len(x)):
                    out[i][1 if x[i] > 0 else -1] += amount * parts[i] / sum(parts)
    return out


def start(count, index, sign, others=0.0):
    """1 at the target and ``others`` at the other units, in the direction ``sign``."""
    return [{sign: 1.0 if j == index else others} for j in range(count)]


def relevance(head, target, maps, sign):
    """The relevance of every cell, (h, w, K), to a target of an :class:`oracle.Oracle`."""
    name, index = head.resolve(target, maps)
    states, layers = head.states(maps), head.at
    if name == "cnn":
        count, layers = len(head.dense[-1][1]), len(head.dense)
        units = start(count, index, sign, -1 / (count - 1))
    elif name == "pca":
        units = share(oracle.pca_matrix(head.pca), head.x_m(maps), start(len(head.pca.components_), index, sign))
    else:
        zeros = np.zeros(maps.shape)
        svc, z, scale = head.svc_input(name, head.features(maps))
        _, z_ref, _ = head.svc_input(name, head.features(zeros))
        row = lift_oracle.margin_multipliers(svc, index, z, z_ref) * scale
        row = row if head.pca is None else row @ oracle.pca_matrix(head.pca)
        units = share([row], head.x_m(maps) - head.x_m(zeros), start(1, 0, sign))
    for n in range(layers, 0, -1):
        x = states[n - 2][1] if n > 1 else head.x_0(maps)
        units = share(head.dense[n - 1][0].T, x, units)
    return lift_oracle.on_maps(head, maps, [sum(unit.values()) for unit in units])
