"""Every model keeps the contract, and has a class here."""

from contract import ModelContract

from oddframe.models import MODELS


class TestM2S2L(ModelContract):
    name = "m2s2l-edge"
    config = {
        "size": 64, "history": 4, "windows": (3, 4), "depths": (1, 1, 1), "width": 16,
        "memory_items": 8,
    }  # fmt: skip


class TestSTNMamba(ModelContract):
    name = "stnmamba-128"
    config = {"size": 64, "width": 8, "depth": 1, "memory_items": (4, 4, 4, 4), "state": 2}


class TestMSTI(ModelContract):
    name = "msti-net-128"
    config = {"size": 32, "width": 16, "memory_items": 4}


class TestVADMamba(ModelContract):
    name = "vadmamba-128"
    config = {"size": 64, "history": 4, "width": 8, "state": 2, "codes": 8}


class TestFFP(ModelContract):
    name = "ffp-128"
    config = {"size": 32, "width": 8}


class TestFFPWithAllTerms(ModelContract):
    name = "ffp-128"
    config = {"size": 32, "width": 8, "lambda_flow": 2.0, "lambda_adversarial": 0.05}


class TestMNAD(ModelContract):
    name = "mnad-128"
    config = {"size": 32, "width": 8, "items": 4}


class TestAMMC(ModelContract):
    name = "ammc-128"
    config = {"size": 32, "width": 8, "items": 4}


class TestConvAE(ModelContract):
    name = "conv-ae-128"
    config = {"size": 32, "width": 32, "history": 4}


class TestConvLSTMAE(ModelContract):
    name = "convlstm-ae-128"
    config = {"size": 32, "width": 16, "history": 4}
    lr = 1e-2


class TestMemAE(ModelContract):
    name = "memae-128"
    config = {"size": 32, "widths": (8, 12, 16, 16), "history": 8, "items": 20}


class TestLiteralM2S2L(ModelContract):
    name = "m2s2l-edge"
    config = TestM2S2L.config | {"literal": True}


class TestLiteralSTNMamba(ModelContract):
    name = "stnmamba-128"
    config = TestSTNMamba.config | {"literal": True}


class TestLiteralMSTI(ModelContract):
    name = "msti-net-128"
    config = TestMSTI.config | {"literal": True}


class TestLiteralMemAE(ModelContract):
    name = "memae-128"
    config = TestMemAE.config | {"literal": True}


class TestLiteralFFP(ModelContract):
    name = "ffp-128"
    config = TestFFP.config | {"literal": True}


def test_every_model_has_a_contract():
    kept = {MODELS[c.name].module for c in ModelContract.__subclasses__()}
    assert kept == {entry.module for entry in MODELS.values()}
