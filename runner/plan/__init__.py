"""What a run will do, and why: a pure function of jobs and of what is known about their keys."""

from runner.compile import Job, Upload
from runner.plan.actions import CHANGING, Action, Change, Credits, Plan, Sight, Step
from runner.plan.begun import with_begun
from runner.plan.decide import Disk, Policy, make_plan

__all__ = [
    "CHANGING",
    "Action",
    "Change",
    "Credits",
    "Disk",
    "Job",
    "Plan",
    "Policy",
    "Sight",
    "Step",
    "Upload",
    "make_plan",
    "with_begun",
]
