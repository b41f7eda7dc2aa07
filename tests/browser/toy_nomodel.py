"""The dashboard with toy jets, on a machine without a model."""

import panel as pn

from jetlab.dashboard import CompareDashboard
from tests.browser.toy_library import shared

pn.extension("tabulator", throttled=True)

CompareDashboard.from_request(shared=shared(models=())).page().servable(title="JetLab compare")
