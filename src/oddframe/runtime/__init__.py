"""Using a trained run: score files, follow streams, evaluate on labelled sets."""
