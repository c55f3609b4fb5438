"""What a song's score becomes when its sound or its excerpt is another, and versions of a song side by side."""

import numpy as np

from hitsong import config
from hitsong.explain.mels import band_edges
from hitsong.explain.what_if import within_noise
from hitsong.features import mel
from hitsong.predict.song_features import shown_mel, used_seconds
from hitsong.service.problems import Problem


def what_if(service, name, audio, disconnected=lambda: False):
    """Score the variants of a song.

    Parameters
    ----------
    service : hitsong.service.scoring.ScoringService
    name : str
        Of the file.
    audio : bytes
    disconnected : callable
        Whether the client has gone.

    Returns
    -------
    dict
        In the form of `hitsong.service.schemas.Variants`.

    Raises
    ------
    Problem
        If the model predicts several audio features, which are no one score.
    hitsong.service.decoders.DecodeError
    """
    require_one_score(service)
    song, _, features = service.score(name, audio, disconnected, ("sound", "shift", "excerpt"))
    scores = service.score_variants(features.variants, disconnected)
    return {
        "name": name,
        "score": scores.score,
        "noise": scores.noise,
        "error": service.predictor.typical_error(),
        "sound": [
            {
                "name": variant,
                "score": score,
                "change": score - scores.score,
                "beyond_noise": scores.beyond_noise(score),
            }
            for variant, score in scores.sound.items()
        ],
        "curve": _curve(service, song, scores),
    }


def version(service, name, audio, disconnected=lambda: False):
    """Score a file as one of several versions.

    Parameters
    ----------
    As for `what_if`.

    Returns
    -------
    song : dict
        In the form of `hitsong.service.schemas.Song`, with `score`, `noise`, `curve` and `spectrum`.
    prediction : np.ndarray
    scores : hitsong.explain.what_if.VariantScores
    """
    song, prediction, features = service.score(name, audio, disconnected, ("shift", "excerpt"))
    scores = service.score_variants(features.variants, disconnected)
    added = {
        "score": scores.score,
        "noise": scores.noise,
        "curve": _curve(service, song, scores),
        "spectrum": _spectrum(service, features),
    }
    return song | added, prediction, scores


def with_noise(ranked, scores):
    """Ranked versions, each with whether it differs from the next by no more than noise.

    Parameters
    ----------
    ranked : list of dict
        As `hitsong.service.app` ranks songs.
    scores : dict of str to hitsong.explain.what_if.VariantScores
        By the id of a song.
    """
    nexts = [*ranked[1:], None]
    return [
        song | {"within_noise": after and within_noise(scores[song["id"]], scores[after["id"]])}
        for song, after in zip(ranked, nexts, strict=True)
    ]


def require_one_score(service):
    """Refuse models of several audio features, which have no score to compare. Raises `Problem`."""
    if service.predictor.target.kind == "audio_features":
        raise Problem(
            404, "no_score", "this model predicts several audio features: there is no one score to compare"
        )


def _curve(service, song, scores):
    """The excerpts with their ends."""
    settings = service.predictor.settings.model_copy(update={"kinds": list(service.predictor.kinds)})
    seconds = min(song["seconds"], used_seconds(settings))
    return [{"start": start, "end": start + seconds, "score": score} for start, score in scores.curve]


def _mel_settings(service):
    """How the shown spectrogram was made: as the model's input, or as the default."""
    return service.predictor.settings.mel if "mel" in service.predictor.kinds else config.Mel()


def _spectrum(service, features):
    """The mean level of each mel band over the part that is shown."""
    settings = _mel_settings(service)
    levels = mel.decode(shown_mel(features, service.predictor.settings)[0], settings)
    edges = band_edges(settings)
    power = 10 ** (levels.astype(float) / 10)
    return {
        "hertz": ((edges[:-1] + edges[1:]) / 2).tolist(),
        "decibels": (10 * np.log10(power.mean(axis=1))).tolist(),
    }
