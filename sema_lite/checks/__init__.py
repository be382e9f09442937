"""What the notebooks call: set-up, claims within bounds, equality, and checks of the exercises.

checks.set_up(seed=0)
checks.expect("EMA - SGD, points", 2.1, 1.0, 4.0)
checks.decay_for_half_life(my_function)  # an exercise: prints a line, stops nothing
"""

from .chapter01 import debiased, decay_for_half_life, start_share
from .chapter02 import decay_for, walkers_needed
from .chapter03 import lookahead_contraction, running_mean, snapshot_spacing
from .chapter04 import count_switches, epoch_live_variance, switch_due
from .chapter05 import own_landscape, share_with_error, survives, two_layers_gradient
from .chapter06 import flat_views, start_average, update_bytes
from .chapter07 import calibration_error, nll_from_logits, paired_error
from .chapter08 import flattest_factor, quotient_along
from .chapter09 import cutout, epochs_to_stay, pooled_variance
from .chapter10 import carried_decay, decay_for_way, u_and_fraction
from .chapter11 import best_elsewhere, lucky_table, own_row
from .report import exercise, expect, same, set_up

__all__ = [
    "best_elsewhere",
    "calibration_error",
    "carried_decay",
    "count_switches",
    "cutout",
    "debiased",
    "decay_for",
    "decay_for_half_life",
    "decay_for_way",
    "epoch_live_variance",
    "epochs_to_stay",
    "exercise",
    "expect",
    "flat_views",
    "flattest_factor",
    "lookahead_contraction",
    "lucky_table",
    "nll_from_logits",
    "own_landscape",
    "own_row",
    "paired_error",
    "pooled_variance",
    "quotient_along",
    "running_mean",
    "same",
    "set_up",
    "share_with_error",
    "snapshot_spacing",
    "start_average",
    "start_share",
    "survives",
    "switch_due",
    "two_layers_gradient",
    "u_and_fraction",
    "update_bytes",
    "walkers_needed",
]
