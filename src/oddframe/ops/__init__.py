"""Selective scan and SS2D: the operations that Mamba models are made of."""

from oddframe.ops.backends import BACKENDS, unavailable
from oddframe.ops.scan import selective_scan, selective_scan_reference

__all__ = ["BACKENDS", "selective_scan", "selective_scan_reference", "unavailable"]
