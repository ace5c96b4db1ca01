"""From scores and labels to numbers: protocols, floors, the score of a model's paper."""
