"""From error maps to scores: local means, the scene, fusion."""
