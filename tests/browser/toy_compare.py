"""The dashboard with toy jets and a toy model."""

import panel as pn

from jetlab.dashboard import CompareDashboard
from tests.browser.toy_library import shared

pn.extension("tabulator", throttled=True)

CompareDashboard.from_request(shared=shared(pause=0.3)).page().servable(title="JetLab compare")
