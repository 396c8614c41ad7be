"""Frozen dataclasses as JAX pytrees: fields are leaves, fields marked :func:`static` are part of the structure."""

import dataclasses
from typing import Any, TypeVar, dataclass_transform

import jax

from pcacam_jax.core.brief import brief_repr

Type = TypeVar("Type", bound=type)


def static(**options: Any) -> Any:
    """Declare a field, such as a name or a shape, that is part of the tree structure and is not traced by jit.

    Args:
        **options: keyword arguments of :func:`dataclasses.field`, such as ``default``.
    """
    return dataclasses.field(metadata={"static": True}, **options)


@dataclass_transform(frozen_default=True, field_specifiers=(static,))
def pytree(cls: Type) -> Type:
    """Make ``cls`` a frozen dataclass with a short representation and register it with JAX."""
    cls.__repr__ = brief_repr  # pyright: ignore[reportAttributeAccessIssue]
    return jax.tree_util.register_dataclass(dataclasses.dataclass(frozen=True, repr=False)(cls))
