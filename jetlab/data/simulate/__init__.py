"""Simulated jets: Pythia 8 collisions, a parametrised detector, FastJet clustering and truth matching."""

from __future__ import annotations

from jetlab.data.simulate.run import simulate, simulate_to_file
from jetlab.data.simulate.settings import SETTINGS, Settings

__all__ = ["SETTINGS", "Settings", "simulate", "simulate_to_file"]
