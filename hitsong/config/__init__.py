"""What a run is: the typed content of `config.yaml`.

Every setting has its type, its bounds and its default here (`collecting.py` and `run.py`), and nowhere else. A file
only says what differs. A misspelt key, a wrong type or an impossible value is refused with the key's path.
"""

from hitsong.config.base import AUDIO_FEATURES, nearest
from hitsong.config.collecting import TABLE_COLUMNS, Collect, Download, Fault, Shares, Standin, Table
from hitsong.config.loading import load, parse
from hitsong.config.run import (
    Baseline,
    Compute,
    Config,
    Evaluate,
    Features,
    Mel,
    Mfcc,
    Split,
    Tags,
    Target,
    Train,
)  # fmt: skip

__all__ = [
    "AUDIO_FEATURES", "TABLE_COLUMNS", "Baseline", "Collect", "Compute", "Config", "Download", "Evaluate", "Fault",
    "Features", "Mel", "Mfcc", "Shares", "Split", "Standin", "Table", "Tags", "Target", "Train", "load",
    "nearest", "parse",
]  # fmt: skip
