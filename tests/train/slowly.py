"""The command `oddframe` whose training takes its time, so that a signal arrives amid it."""

import time

from oddframe.cli import main
from oddframe.train import fit
from oddframe.train.module import Batches


class Slow(Batches):
    def at(self, step):
        time.sleep(0.05)
        return super().at(step)


if __name__ == "__main__":
    import slowly  # by the name that the other processes find it under

    fit.Batches = slowly.Slow
    raise SystemExit(main())
