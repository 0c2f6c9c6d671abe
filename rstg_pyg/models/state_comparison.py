"""Whether the tensors of a file are those of a module."""

from collections.abc import Mapping

from torch import Tensor
from torch.nn.parameter import is_lazy


def state_differences(expected: Mapping[str, Tensor], got: Mapping[str, Tensor]) -> str:
    """Report where two states differ in names and shapes.

    Args:
        expected: The module's ``state_dict``; tensors that have no shape yet take any.
        got: What is to be loaded into it.

    Returns:
        Lines with the number of tensors that match and the names of those missing, unexpected and of another shape, or
        nothing where all match.
    """
    missing = sorted(expected.keys() - got.keys())
    unexpected = sorted(got.keys() - expected.keys())
    shared = sorted(expected.keys() & got.keys())
    misshapen = [
        f"{name}: expected {list(expected[name].shape)}, got {list(got[name].shape)}"
        for name in shared
        if not is_lazy(expected[name]) and expected[name].shape != got[name].shape
    ]
    if not (missing or unexpected or misshapen):
        return ""
    return (
        f"  matched: {len(shared) - len(misshapen)}\n  missing: {missing}\n  unexpected: {unexpected}\n"
        f"  of another shape: {misshapen}"
    )
