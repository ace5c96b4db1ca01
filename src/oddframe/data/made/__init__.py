"""Anomalies made of a scene's own normal footage: what moves there, put back in another way."""
