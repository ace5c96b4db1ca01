"""Reports: one self-contained HTML page per run, and heat maps over pictures and videos."""
