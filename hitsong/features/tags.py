"""Music tags: the scores of an auto-tagger, musicnn, for a clip, and its last hidden layer as an embedding.

The network (`hitsong.features.musicnn`) takes patches of 3 s, side by side; a clip's tags and embedding are
the means over its patches. Making patches needs no TensorFlow and runs in worker processes; `Tagger` runs in the main
process, and is faster on many clips at a time.

The trained weights and the names of the tags are in the package `musicnn`, which is read and never imported. It is
optional: without it there are no tags, and everything else runs.
"""

import ast
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from hitsong.errors import UserError
from hitsong.features.mel import Spectrum, mel_power

SAMPLE_RATE = 16000  # Hz
SPECTRUM = Spectrum(SAMPLE_RATE, n_fft=512, hop_length=256, n_mels=96)
FRAMES = 187  # of a patch: 3 s
EMBEDDING = 200
BATCH = 32  # patches per call of the network; more gain nothing


def available():
    """Whether the package `musicnn` is installed."""
    return find_spec("musicnn") is not None  # without importing it


def names(model):
    """The tags of a model, in the order of its scores.

    Parameters
    ----------
    model : str
        "MTT_musicnn" (MagnaTagATune) or "MSD_musicnn" (Million Song Dataset).

    Returns
    -------
    list of str

    Raises
    ------
    UserError
        If the package `musicnn` is missing.
    """
    variable = f"{model.partition('_')[0]}_LABELS"
    for node in ast.parse((_package() / "configuration.py").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and node.targets[0].id == variable:
            return ast.literal_eval(node.value)
    raise ValueError(f"the package musicnn has no {variable}")


def columns(settings):
    """The names of the kind "tags" [hitsong.config.Tags]."""
    return names(settings.model)


def embedding_columns(settings):
    """The names of the kind "embedding"; UserError where its network is not installed."""
    names(settings.model)
    return [f"embedding_{number:03}" for number in range(EMBEDDING)]


def compute(clip, settings, *, seconds):
    """Make the patches of the middle of a clip, so many seconds of it."""
    return patches(clip.middle(seconds).at(SAMPLE_RATE))


def log_mels(samples):
    """Compute musicnn's input: log10(1 + 10,000 x mel power).

    In float32; musicnn's own code rounds the power to float16 first, which overflows for loud music.

    Parameters
    ----------
    samples : np.ndarray [shape=(n,), float32]
        Mono, at 16 kHz.

    Returns
    -------
    np.ndarray [shape=(1 + n // 256, 96), float32]
    """
    return np.log10(10000 * mel_power(samples, SPECTRUM).T + 1)


def patches(samples):
    """Cut a clip's log-mels into patches of 3 s, side by side; the rest at the end is dropped.

    A clip too short for one patch is repeated until it fills one: padding with silence would change its tags.

    Parameters
    ----------
    samples : np.ndarray [shape=(n,), float32]
        Mono, at 16 kHz.

    Returns
    -------
    np.ndarray [shape=(patches, 187, 96), float32]
        At least one patch; ten for 30 s.
    """
    shortest = (FRAMES - 1) * SPECTRUM.hop_length
    mels = log_mels(samples if len(samples) >= shortest else np.resize(samples, shortest))
    count = len(mels) // FRAMES
    return mels[: count * FRAMES].reshape(count, FRAMES, SPECTRUM.n_mels)


class Tagger:
    """A trained musicnn, ready to score clips.

    Parameters
    ----------
    model : str
        "MTT_musicnn" or "MSD_musicnn".

    Raises
    ------
    UserError
        If the package `musicnn` is missing.
    """

    def __init__(self, model):
        folder = _package() / model
        from hitsong.backend import tf
        from hitsong.features import musicnn  # here, for TensorFlow: workers only make patches

        signature = [tf.TensorSpec((None, FRAMES, SPECTRUM.n_mels), tf.float32)]
        self._predict = tf.function(musicnn.load(folder), input_signature=signature, autograph=False)

    def tag(self, clips):
        """Score clips, all their patches together.

        Parameters
        ----------
        clips : list of np.ndarray [shape=(patches, 187, 96), float32]
            From `patches`.

        Returns
        -------
        dict of str to np.ndarray [shape=(clips, n), float32]
            "tags" (n = 50; from 0 to 1, in the order of `names`) and "embedding" (n = 200).
        """
        patches = np.concatenate(clips)
        outputs = [self._predict(patches[start : start + BATCH]) for start in range(0, len(patches), BATCH)]
        firsts = np.cumsum([0, *map(len, clips[:-1])])
        lengths = np.array([[len(clip)] for clip in clips], np.float32)
        return {
            name: np.add.reduceat(np.concatenate([output[name] for output in outputs]), firsts) / lengths
            for name in ("tags", "embedding")
        }


def _package():
    """The folder of the package `musicnn`."""
    package = find_spec("musicnn")
    if package is None:
        raise UserError(
            "tags and embedding need the package musicnn; install it with: "
            "pip install --no-deps --require-hashes -r requirements-musicnn.txt\n"
            "or run without them: take tags and embedding out of features.kinds"
        )
    return Path(package.submodule_search_locations[0])
