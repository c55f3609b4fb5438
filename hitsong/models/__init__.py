"""Architectures: the registry, one file per family of networks, heads, losses, layers.

A trunk is a function `(x, n_scores, **parameters)` from normalised inputs to scores, shape (batch, n_scores). `x` holds
a tensor for each of the model's inputs: "mel", shape (batch, n_mels, frames); "mfcc", shape (batch, frames, n_mfcc);
"tags", "embedding", "descriptors" or "numeric", shape (batch, columns). Hyper-parameters have defaults as in the study.
A trunk raises UserError where its inputs are too small. `zero` is the score of popularity 0, or None.
"""
