"""Frozen dataclasses as pytrees: fields are leaves, fields marked :func:`static` belong to the structure."""

import dataclasses
from typing import Any, TypeVar, dataclass_transform

import jax

Type = TypeVar("Type", bound=type)


def static(**options: Any) -> Any:
    """Declare a field that is part of the tree's structure (a name, a shape), hashed by jit rather than traced."""
    return dataclasses.field(metadata={"static": True}, **options)


@dataclass_transform(frozen_default=True, field_specifiers=(static,))
def pytree(cls: Type) -> Type:
    """Make ``cls`` a frozen dataclass and register it with JAX."""
    return jax.tree_util.register_dataclass(dataclasses.dataclass(frozen=True)(cls))
