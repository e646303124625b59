"""A recipe and a listing of files become jobs: address, payload, key. Pure; what lies on disk comes in as values.

Three steps, so that only what is needed is listed and hashed: `items_of` names the items of `foreach`,
`drafts_of` expands the recipe for each of them, `jobs_of` adds sizes and digests and computes the keys.
"""

from runner.compile.clashes import shared_paths, shared_targets
from runner.compile.destroying import destroying, foreseen
from runner.compile.draft import Draft, UploadSource, drafts_of
from runner.compile.endpoints import HOSTED, LOCAL, endpoint_name
from runner.compile.items import Item, items_of, lacking, nothing_left, unmatched
from runner.compile.job import FileContent, Job, Upload, compiled_json, jobs_of
from runner.compile.key import job_key
from runner.compile.links import NO_LINKS, Links
from runner.compile.needed import Needed, needed_by, parts_of
from runner.compile.revisions import asked_name, to_revalidate
from runner.compile.save import SaveTo, output_conflicts
from runner.compile.targets import Target, TargetName, targets_of
from runner.compile.texts import unspelt
from runner.compile.unfit import takes_options_from_items, unfit

__all__ = [
    "HOSTED",
    "LOCAL",
    "NO_LINKS",
    "Draft",
    "FileContent",
    "Item",
    "Job",
    "Links",
    "Needed",
    "SaveTo",
    "Target",
    "TargetName",
    "Upload",
    "UploadSource",
    "asked_name",
    "compiled_json",
    "destroying",
    "drafts_of",
    "endpoint_name",
    "foreseen",
    "items_of",
    "job_key",
    "jobs_of",
    "lacking",
    "needed_by",
    "nothing_left",
    "output_conflicts",
    "parts_of",
    "shared_paths",
    "shared_targets",
    "takes_options_from_items",
    "targets_of",
    "to_revalidate",
    "unfit",
    "unmatched",
    "unspelt",
]
