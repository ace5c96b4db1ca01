"""The pinhole camera that watches the street.

World: x right, y up, z away from the camera, in metres; the camera hangs at (0, height_m, 0) and
the ground is y = 0. The optical axis is level and the sensor shifted, as in a view camera: upright
things stay upright in the picture, and pixels per metre are linear in the row of the ground.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
"""(n, 3) world or (n, 2) picture points."""


@dataclass(frozen=True, slots=True)
class Camera:
    """A fixed camera; lengths in metres, picture quantities in pixels."""

    focal: float
    centre_x: float
    horizon: float
    """Row of the horizon; negative where it lies above the picture."""
    height_m: float

    def project(self, world: Points) -> Points:
        """World points (n, 3) to picture points (n, 2), column then row."""
        z = np.maximum(world[:, 2], 0.3)  # what is beside or behind the camera leaves the picture
        column = self.centre_x + self.focal * world[:, 0] / z
        row = self.horizon + self.focal * (self.height_m - world[:, 1]) / z
        return np.stack([column, row], axis=1)

    def scale(self, z: float) -> float:
        """Pixels per metre at depth z."""
        return self.focal / max(z, 0.3)

    def ground(self, column: float, row: float) -> tuple[float, float]:
        """The ground point (x, z) seen at a pixel below the horizon."""
        z = self.focal * self.height_m / (row - self.horizon)
        return (column - self.centre_x) * z / self.focal, z

    def plane_matrix(self, origin: Points, axis_a: Points, axis_b: Points) -> Points:
        """Homography (3, 3) from (a, b, 1) on the plane origin + a*axis_a + b*axis_b to pixels."""
        plane = np.stack([axis_a, axis_b, origin], axis=1)  # world xyz by (a, b, 1)
        lens = np.array(
            [[self.focal, 0.0, self.centre_x], [0.0, -self.focal, self.horizon], [0.0, 0.0, 1.0]]
        )
        matrix = lens @ plane
        matrix[1, 2] += self.focal * self.height_m  # rows measure from the camera's height
        return matrix
