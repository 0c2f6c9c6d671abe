"""A classifier elsewhere: as a program of ``torch.export``, in ONNX, or compiled by AOTInductor."""

from rstg_pyg.export.agreement import largest_difference
from rstg_pyg.export.files import load_program, write_program
from rstg_pyg.export.programs import export_program, first_state

__all__ = ["export_program", "first_state", "largest_difference", "load_program", "write_program"]
