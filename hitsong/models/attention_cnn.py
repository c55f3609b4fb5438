"""A small residual CNN over the whole clip, and attention that weights its frames.

The attention is that of Z. Lin et al., "A Structured Self-Attentive Sentence Embedding", ICLR 2017,
arXiv:1703.03130, over frames instead of words. For music tags, M. Won et al. (arXiv:1906.04972) use attention to
summarise the frames of a CNN.
"""

from hitsong.backend import keras
from hitsong.models.layers import register, require_frames
from hitsong.models.short_chunk_cnn import batch_norm, scores

MIN_FRAMES = 16  # three halvings leave two frames to weight


@register
class AttentionPooling(keras.layers.Layer):
    """Weighted averages of the frames, `heads` of them; a hidden layer of `units` computes the weights of a frame."""

    def __init__(self, heads=4, units=32, **options):
        super().__init__(**options)
        self.heads, self.units = heads, units
        self.hidden = keras.layers.Dense(units, "tanh", use_bias=False, dtype=self.dtype_policy)
        self.logits = keras.layers.Dense(heads, use_bias=False, dtype=self.dtype_policy)

    def build(self, shape):
        self.hidden.build(shape)
        self.logits.build((*shape[:-1], self.units))

    def weights_of(self, x):
        """The weight of each frame, summing to 1 over frames: (batch, frames, heads)."""
        return keras.ops.softmax(self.logits(self.hidden(x)), axis=1)

    def call(self, x):
        """From (batch, frames, channels) to (batch, heads * channels)."""
        pooled = keras.ops.einsum("bth,btc->bhc", self.weights_of(x), x)
        return keras.ops.reshape(pooled, (-1, self.heads * x.shape[2]))

    def get_config(self):
        return super().get_config() | {"heads": self.heads, "units": self.units}


def trunk(x, n_scores, channels=64, heads=4, dropout=0.3):
    """Build the network.

    Convolutions run over time with the mels as channels, which is fast; as in study 1's filter banks, they do not
    slide along frequency.

    Parameters
    ----------
    channels : int
        Of all convolutions.
    heads : int
        Of the attention.
    dropout : float
        Share of the inputs of the attention, and of the last layer, that is dropped.
    """
    require_frames("attention_cnn", x["mel"], MIN_FRAMES)
    # (frames, channels) in the comments is for mels of 128 x 323.
    x = keras.layers.Permute((2, 1))(x["mel"])  # (323, 128)
    x = _conv(x, channels)  # (323, 64)
    for _ in range(3):
        shortcut = x
        x = _conv(x, channels)
        x = batch_norm(keras.layers.Conv1D(channels, 3, padding="same")(x))
        x = keras.layers.ReLU()(keras.layers.Add()([x, shortcut]))
        x = keras.layers.MaxPooling1D(2)(x)  # (161, 64) (80, 64) (40, 64)
    x = keras.layers.Dropout(dropout)(x)
    x = AttentionPooling(heads, name="attention")(x)  # (256,)
    x = keras.layers.Dense(channels, activation="relu")(x)  # (64,)
    x = keras.layers.Dropout(dropout)(x)
    return scores(x, n_scores)  # (n_scores,)


def _conv(x, channels):
    """Convolve three frames, normalise, rectify."""
    return keras.layers.ReLU()(batch_norm(keras.layers.Conv1D(channels, 3, padding="same")(x)))
