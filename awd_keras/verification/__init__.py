"""Checks that the regularization really acts, as `awd-keras verify` prints them."""

from awd_keras.verification.check import Check
from awd_keras.verification.masks import dropout_checks, weight_drop_checks
from awd_keras.verification.state_and_averages import averaging_checks, carried_state_checks

__all__ = ["Check", "verify"]


def verify() -> list[Check]:
    """Checks that the regularization works with the Keras and the backend in use.

    If weight drop drops nothing, a state is never carried or averages are never used, no error is
    raised: the model is only worse. So small models are built, trained and evaluated with the public
    API, and their behaviour is measured: weight drop in the output and in the gradient, at inference
    and after an evaluation, the masks of locked and embedding dropout (sections 2 and 4 of Merity,
    Keskar, Socher 2017, arXiv 1708.02182), the carried state, averaging (section 3), and the
    implementation that ran the LSTMs.

    Returns:
        A list of `Check`: name, passed, figure, detail.

    Example:

    ```python
    assert all(check.passed for check in awd_keras.verification.verify())
    ```
    """
    return [
        *weight_drop_checks(),
        *dropout_checks(),
        *carried_state_checks(),
        *averaging_checks(),
    ]
