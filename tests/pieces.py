"""Consecutive pictures as `fit_usual` takes them, for tests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from oddframe.pictures import Image
from oddframe.scoring.look import Grey, Looks


@dataclass
class Some:
    """A piece of normal footage: its pictures (256, 256, 3)."""

    images: Sequence[Image]

    @property
    def frames(self) -> int:
        return len(self.images)

    def greys(self, every: int) -> Iterator[Grey]:
        for i, look in enumerate(self.looks()):
            if i % every == 0:
                yield look.grey

    def looks(self) -> Iterator[Looks]:
        looks = Looks()
        for image in self.images:
            looks.step(image)
            yield looks

    def before(self) -> Sequence[tuple[Grey, float]]:
        return ()
