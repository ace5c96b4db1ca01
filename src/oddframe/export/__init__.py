"""A RUN's streaming step as a graph with explicit state, for ONNX Runtime or for torch alone.

    export_run(load_run("RUN"), Path("model.onnx"), "onnx")

`card` says what goes in and comes out; `docs/export.md` what works where.
"""
