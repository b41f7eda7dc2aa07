"""The compare dashboard: state, views and page. It computes no physics; `dashboards/compare.py` serves it."""

from __future__ import annotations

from typing import Any

__all__ = ["CompareDashboard"]


def __getattr__(name: str) -> Any:
    """Import the page on first use, so that the child processes do without Panel."""
    if name != "CompareDashboard":
        msg = f"module {__name__!r} has no attribute {name!r}; it offers {', '.join(__all__)}"
        raise AttributeError(msg)
    from jetlab.dashboard.app import CompareDashboard

    return CompareDashboard
