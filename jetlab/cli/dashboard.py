"""``jetlab dashboard``: the compare dashboard, served from the installed package."""

from __future__ import annotations

from typing import Annotated

import typer

from jetlab.cli._terminal import announce

__all__ = ["dashboard"]


def dashboard(
    *,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 5006,
    show: Annotated[bool, typer.Option("--show/--no-show", help="Open it in the browser.")] = True,
) -> None:
    """Open the dashboard that compares generated with true jets; Ctrl-C ends it."""
    announce("Starting the dashboard; Ctrl-C ends it")
    import panel as pn

    from jetlab.dashboard import CompareDashboard

    def page() -> pn.Template:
        return CompareDashboard.from_request().page()

    pn.extension("tabulator", throttled=True, notifications=False)
    pn.serve({"compare": page}, port=port, address="127.0.0.1", title="JetLab compare", show=show)
