"""Estimators without a stage: why there is no closed form, and what to use instead."""


def refusal(kind: type) -> str:
    """Return the sentence with which an estimator of this kind is refused."""
    return (
        f"{kind.__name__} is not supported. "
        f"Write its stage by hand: any object with the methods of pcacam_jax.Stage will do."
    )
