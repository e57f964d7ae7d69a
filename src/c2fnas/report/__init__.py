"""The report of a run, or of several: an HTML page with everything that is known, and its figures."""

from c2fnas.lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, {"page": ["write_report"], "runs_page": ["write_comparison"]})
