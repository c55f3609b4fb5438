"""Why a track got its score, and what a model goes by."""
