"""What the server that workers are forked from imports: whatever a worker would load at first, it inherits."""

import numpy as np

from hitsong.config import Features
from hitsong.features.decode import Clip
from hitsong.predict.clip import hear_clip

SETTINGS = Features(kinds=["mel", "mfcc", "descriptors", "tags"])

# Libraries put some imports off until they are used.
hear_clip(Clip(np.zeros((SETTINGS.mel.sample_rate, 1), np.float32), SETTINGS.mel.sample_rate), SETTINGS)
