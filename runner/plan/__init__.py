"""What a run will do, and why: a pure function of jobs and of what is known about their keys."""

from runner.compile import Job, Needed, TargetName, Upload
from runner.plan.actions import BUYING, CHANGING, Action, Change, Credits, Plan, Sight, Step
from runner.plan.begun import results_left, with_begun
from runner.plan.decide import make_plan
from runner.plan.foresight import with_budgets, with_holders
from runner.plan.holdings import Claimant, Holdings, RecipeFile, copies_of
from runner.plan.known import KEPT_ON_SERVER_S, Disk, Policy
from runner.plan.own_results import fed_by_themselves
from runner.plan.parked import ways_out
from runner.plan.sequence import in_turn
from runner.plan.taken import FREE_IT, NAME_TAKEN, names_of_targets
from runner.plan.wanted import files_here, is_delivered, to_be_written, wanted_paths

__all__ = [
    "BUYING",
    "CHANGING",
    "FREE_IT",
    "KEPT_ON_SERVER_S",
    "NAME_TAKEN",
    "Action",
    "Change",
    "Claimant",
    "Credits",
    "Disk",
    "Holdings",
    "Job",
    "Needed",
    "Plan",
    "Policy",
    "RecipeFile",
    "Sight",
    "Step",
    "TargetName",
    "Upload",
    "copies_of",
    "fed_by_themselves",
    "files_here",
    "in_turn",
    "is_delivered",
    "make_plan",
    "names_of_targets",
    "results_left",
    "to_be_written",
    "wanted_paths",
    "ways_out",
    "with_begun",
    "with_budgets",
    "with_holders",
]
