"""Explorers for notebooks: drag a slider, see what an average does.

>>> from sema_lite.widgets import SemaExplorer
>>> explorer = SemaExplorer(decay=0.9, switch_every=10)
>>> round(explorer.readout["u"], 3), round(explorer.readout["step_fraction"], 3)
(1.0, 0.414)

They need ipywidgets and matplotlib, nothing else: no torch. `explorer.py` says how one is made.
"""

from .boundary_explorer import DecisionBoundaryExplorer
from .explorer import Explorer
from .explorers import NoiseFloorExplorer, SemaExplorer
from .live_training import LiveTraining
from .period_map import PeriodMap
from .playground import LandscapePlayground
from .run_explorer import RunExplorer
from .simple_explorers import DecayExplorer, UpdateCostExplorer
from .slice_explorer import LossSliceExplorer

__all__ = [
    "DecayExplorer",
    "DecisionBoundaryExplorer",
    "Explorer",
    "LandscapePlayground",
    "LiveTraining",
    "LossSliceExplorer",
    "NoiseFloorExplorer",
    "PeriodMap",
    "RunExplorer",
    "SemaExplorer",
    "UpdateCostExplorer",
]
