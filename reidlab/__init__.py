"""reidlab: transformers for person re-identification, from data to a published page."""

__version__ = "0.1.0"
