"""What the papers print: accuracy and cost of every method, and the rows of their ablations.

Frame AUC in %, as printed, by the usual names of the data sets. Nothing here was measured by us.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

SETS = ("ped2", "avenue", "shanghaitech")
"""UCSD Ped2, CUHK Avenue, ShanghaiTech: the columns of every table below."""
NAMES = {
    "ped2": "Ped2", "avenue": "Avenue", "avenue-part": "part of Avenue",
    "shanghaitech": "ShanghaiTech", "street": "made street",
}  # fmt: skip
"""How a data set is called in print."""


@dataclass(frozen=True, slots=True)
class Published:
    """What is printed of a model: millions of parameters, giga multiply-adds, frames/s, AUC."""

    parameters_m: float | None = None
    gmac: float | None = None
    fps: float | None = None
    source: str = ""
    """Where cost and speed are printed."""
    auc: Mapping[str, float] = field(default_factory=dict)
    """Frame AUC in % by data set (`SETS`); what is not printed is absent."""


def auc(*values: float | None) -> dict[str, float]:
    """Printed AUCs of Ped2, Avenue and ShanghaiTech by name; None where a dash stands."""
    return {name: value for name, value in zip(SETS, values, strict=False) if value is not None}


@dataclass(frozen=True, slots=True)
class PaperTable:
    """One ablation table or sweep of a paper."""

    number: str
    """The paper's own number: "II"; "" for a figure."""
    about: str
    rows: Mapping[str, Mapping[str, float]]
    """Row by the name of `ABLATIONS`, in the paper's order -> printed AUC in % by data set."""


_M2S2L = (
    PaperTable("II", "components", {
        "M1": auc(94.2, 88.7, 75.1), "M2": auc(97.3, 91.1, 77.3),
        "M3": auc(98.1, 91.8, 77.8), "M4": auc(98.5, 92.1, 77.9),
    }),
    PaperTable("III", "losses", {
        "L1": auc(95.8, 89.4, 76.3), "L2": auc(98.0, 91.8, 77.7), "L3": auc(98.5, 92.1, 77.9),
    }),
)  # fmt: skip
_STNMAMBA = (
    PaperTable("II", "components", {
        "M1": auc(94.3, 84.9), "M2": auc(94.9, 85.5), "M3": auc(95.2, 86.1),
        "M4": auc(96.6, 87.6), "M5": auc(97.1, 88.2), "M6": auc(98.0, 89.0),
    }),
    PaperTable("III", "memory banks", {
        "B4": auc(None, 89.0), "B3": auc(None, 88.5), "B2": auc(None, 88.3),
        "B1": auc(None, 88.1), "B0": auc(None, 88.0),
    }),
    PaperTable("IV", "losses", {
        "L1": auc(None, 87.7), "L2": auc(None, 88.5), "L3": auc(None, 87.9),
        "L4": auc(None, 89.0),
    }),
    # Of Fig. 7 only the best places are in the text: lambda .8 and K 60.
    PaperTable("", "lambda", {
        "lambda0": {}, "lambda0.2": {}, "lambda0.4": {}, "lambda0.6": {},
        "lambda0.8": auc(98.0, 89.0), "lambda1": {},
    }),
    PaperTable("", "K", {
        "K20": {}, "K40": {}, "K60": auc(98.0, 89.0), "K80": {}, "K100": {},
    }),
)  # fmt: skip
_MSTI = (
    PaperTable("II", "streams, fusion and memory", {
        "A": auc(None, None, 73.1), "B": auc(None, None, 73.3), "C": auc(None, None, 72.6),
        "D": auc(None, None, 72.8), "E": auc(None, None, 73.9),
    }),
)  # fmt: skip
PAPER_TABLES: dict[str, tuple[PaperTable, ...]] = {
    "oddframe.models.m2s2l": _M2S2L,
    "oddframe.models.stnmamba": _STNMAMBA,
    "oddframe.models.msti": _MSTI,
}
"""The ablations of a model's file; the names of all rows are the keys of its `ABLATIONS`."""

OTHERS: dict[str, Published] = {
    "sRNN-AE": Published(fps=10, source="M2S2L, Table I", auc=auc(92.2, 83.5, 69.6)),
    "TransAnomaly": Published(fps=18, source="M2S2L, Table I", auc=auc(96.4, 87.0)),
    "AnoPCN": Published(fps=10, source="M2S2L, Table I", auc=auc(96.8, 86.2, 73.6)),
    "STD": Published(45.1, 47.9, 32, "M2S2L, Table I", auc(96.7, 87.1, 73.7)),
    "MAAM-Net": Published(source="M2S2L, Table I", auc=auc(97.7, 90.9, 71.3)),
    "CL-Net": Published(source="M2S2L, Table I", auc=auc(92.2, 86.2, 73.6)),
    "Attention-Pred": Published(8.0, 42.1, 15, "STNMamba, Table I", auc(95.4, 86.0, 71.4)),
    "ASTT": Published(63.2, 18.9, 35, "STNMamba, Table I", auc(96.2, 85.4)),
    "ASTNet": Published(source="STNMamba, Table I", auc=auc(97.4, 86.7, 73.6)),
    "PDM-Net": Published(source="STNMamba, Table I", auc=auc(97.7, 88.1, 74.2)),
}
"""Methods of the papers' tables that are not built here; ours are in `MODELS`."""


RECIPES: dict[str, dict[str, dict[str, object]]] = {
    "m2s2l": {
        # Section III-A; lambda_ssim is not printed: as lambda_gradient.
        "model": {"lambda_motion": 0.5, "lambda_separate": 0.1, "lambda_gradient": 0.2,
                  "lambda_ssim": 0.2},
        # Section III-A: Adam, 2e-4 halved every 20 epochs. Not printed: batch (8), 60 epochs.
        "train": {"lr": 2e-4, "schedule": "halve", "halve_every": 20, "epochs": 60, "batch": 2,
                  "targets": 4},
        # Section III-A: .6 on Ped2, .4 on Avenue, .5 on ShanghaiTech and, not printed, elsewhere.
        "score": {"alpha": "paper"},
    },
    "stnmamba": {
        # Section IV-A3: Adam. All its numbers are lost: rate, schedule and epochs are MNAD's, the
        # weights of both memory losses those of its file, deviation 10.
        "model": {"lambda_compact": 1e-4, "lambda_separate": 1e-4},
        "train": {"lr": 2e-4, "schedule": "cosine", "epochs": 60, "batch": 8, "targets": 1},
    },
    "msti": {
        # Section III-A.
        "model": {"lambda_intensity": 0.8, "lambda_separate": 3e-4, "lambda_compact": 1e-3,
                  "delta": 0.1},
        # Section III-A: Adam, 2e-4. Not printed: schedule, batch and epochs, here MNAD's.
        "train": {"lr": 2e-4, "schedule": "cosine", "epochs": 60, "batch": 4, "targets": 1},
    },
    "vadmamba": {
        # Released options: 2e-4, batches of 1, 60 epochs; AdamW by a cosine as VM-UNet, which they
        # are adjusted from. Not read there: the weights: deviations 4, 8.
        "model": {"lambda_motion": 1.0, "lambda_commit": 1e-3},
        "train": {"optimiser": "adamw", "lr": 2e-4, "schedule": "cosine", "epochs": 60, "batch": 1,
                  "targets": 1},
    },
    "ammc": {
        # Nothing of it is known here: MNAD's schedule, the weights of its file, deviation 9.
        "model": {"lambda_gradient": 1.0, "lambda_motion": 1.0, "lambda_commit": 0.1,
                  "lambda_consistency": 0.1},
        "train": {"lr": 2e-4, "schedule": "cosine", "epochs": 60, "batch": 4, "targets": 1},
    },
    "mnad": {
        # Section 4.1: both weights .1; Adam, 2e-4 by a cosine, batches of 4, 60 epochs (Ped2 and
        # Avenue; 10 on ShanghaiTech).
        "model": {"lambda_compact": 0.1, "lambda_separate": 0.1, "margin": 1.0},
        "train": {"lr": 2e-4, "schedule": "cosine", "epochs": 60, "batch": 4, "targets": 1},
    },
    "ffp": {
        # Section 4.2: weights 1, 1, 2 and .05; Adam, batches of 4, 2e-4 in colour (1e-4 in grey).
        # Not printed: schedule and epochs.
        "model": {"lambda_gradient": 1.0, "lambda_flow": 2.0, "lambda_adversarial": 0.05},
        "train": {"lr": 2e-4, "schedule": "none", "epochs": 60, "batch": 4, "targets": 1},
    },
    "memae": {
        # Section 4: Adam, 1e-4, entropy 2e-4. Batch and epochs are those of the released options.
        "model": {"lambda_entropy": 2e-4},
        "train": {"lr": 1e-4, "schedule": "none", "epochs": 100, "batch": 14, "targets": 1},
    },
    "convlstm_ae": {
        # Section 4.3: Adam, batches of 64, at most 50 epochs. Not printed: the rate (Adam's 1e-3).
        "train": {"lr": 1e-3, "schedule": "none", "epochs": 50, "batch": 64, "targets": 1},
    },
    "conv_ae": {
        # Section 3.1: AdaGrad, .01, batches of 32. Not printed: a schedule, epochs.
        "train": {"optimiser": "adagrad", "lr": 1e-2, "schedule": "none", "epochs": 60, "batch": 32,
                  "targets": 1},
    },
}  # fmt: skip
"""How each paper trains (`--recipe paper`), by the file of its model: changes of the groups model,
train and score, with where a value is printed, or that it is not."""
