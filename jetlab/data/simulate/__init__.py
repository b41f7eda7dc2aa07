"""Simulated jets: Pythia 8 collisions, a CMS-like detector, FastJet clustering and truth matching."""

from __future__ import annotations

from jetlab.data.simulate.recipes import RECIPES
from jetlab.data.simulate.run import simulate, simulate_to_file

__all__ = ["RECIPES", "simulate", "simulate_to_file"]
