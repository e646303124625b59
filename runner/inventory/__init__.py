"""What lies on disk: which files a glob names, and the digests of their contents."""

from runner.inventory.digests import Digest, Digests, digests, file_sha256
from runner.inventory.globs import path_matcher
from runner.inventory.links import linked_folders
from runner.inventory.listing import FileFact, FileProblem, Listing, list_files, stat_file

__all__ = [
    "Digest",
    "Digests",
    "FileFact",
    "FileProblem",
    "Listing",
    "digests",
    "file_sha256",
    "linked_folders",
    "list_files",
    "path_matcher",
    "stat_file",
]
