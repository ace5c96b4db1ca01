"""Using a trained run: score files, follow streams, watch cameras."""
