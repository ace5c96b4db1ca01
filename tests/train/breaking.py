"""Footage that one of two processes cannot read at its third step."""

from oddframe.errors import DatasetError
from oddframe.train.module import Batches


class Breaking(Batches):
    def at(self, step):
        if self.part.start and step == 3:
            raise DatasetError("frame 7 is gone")
        return super().at(step)
