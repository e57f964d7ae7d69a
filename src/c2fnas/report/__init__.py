"""The report of a run: an HTML page with everything that is known of it, and its figures."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from c2fnas.report.page import write_report

__all__ = ["write_report"]


def __getattr__(name: str) -> Any:
    if name == "write_report":  # torch and matplotlib take seconds to import
        from c2fnas.report.page import write_report

        return write_report
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
