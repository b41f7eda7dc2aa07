"""Compare true and generated jets in the browser.

    panel serve dashboards/compare.py --warm

Everything a visitor does stays in that visitor's session; jets and models are shared and read only.
"""

import panel as pn

from jetlab.dashboard import CompareDashboard

pn.extension("tabulator", throttled=True, notifications=False)

CompareDashboard.from_request().page().servable(title="JetLab compare")
