"""Which files a glob names, on a real disk."""

from __future__ import annotations

import fnmatch
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.inventory import FileFact, FileProblem, list_files, stat_file
from runner.inventory.globs import name_matcher, path_matcher

AWKWARD = ["-rf", "a b.tif", "quote'\".tif", "line\nbreak.tif", "ünï.tif", "日本.tif", "[x].tif", "*.tif", "{a}.tif"]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


def write(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name, encoding="utf-8")


def names(folder: Path, *patterns: str, exclude: tuple[str, ...] = ()) -> list[str]:
    listing = list_files(folder, patterns, exclude, root=folder)
    assert listing.problems == ()
    return [each.path for each in listing.files]


def codes(folder: Path, *patterns: str) -> list[tuple[str, str]]:
    return [(each.path, each.code) for each in list_files(folder, patterns, root=folder).problems]


def test_a_file_is_listed_once_whatever_way_leads_to_it(project: Path) -> None:
    write(project, "ff/a.jpg", "ff/x/b.jpg", "else/where/c.jpg", "else/a.jpg")
    (project / "ff/link").symlink_to("../else/where")

    assert names(project, "ff/**/*.jpg", "ff/x/../a.jpg", "ff/./x//b.jpg", "ff/x/../../ff/x/b.jpg") == [
        "ff/a.jpg",
        "ff/x/b.jpg",
    ]
    assert names(project, "ff/link/../a.jpg") == ["ff/link/../a.jpg"]  # it is else/a.jpg
    assert names(project, "ff/x/../*.jpg", exclude=("ff/a.jpg",)) == []


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.tif", ["a.tif", "b.tif"]),
        ("*/*.tif", ["one/a.tif"]),
        ("**/*.tif", ["a.tif", "b.tif", "one/a.tif", "one/two/a.tif"]),
        ("**/**/*.tif", ["a.tif", "b.tif", "one/a.tif", "one/two/a.tif"]),
        ("one/**", ["one/a.tif", "one/two/a.tif", "one/two/b.jpg"]),
        ("**/two/*", ["one/two/a.tif", "one/two/b.jpg"]),
        ("?.tif", ["a.tif", "b.tif"]),
        ("[!a].tif", ["b.tif"]),
        ("[a-b].tif", ["a.tif", "b.tif"]),
        ("./one//a.tif", ["one/a.tif"]),
        ("*", ["a.tif", "b.tif"]),
        (".*", [".hidden.tif"]),
        (".git/*", [".git/c.tif"]),
        ("A.ti?", []),
        ("nothing/*.tif", []),
        ("a.tif/*", []),
        ("", []),
    ],
)
def test_a_glob_names_these_files(project: Path, pattern: str, expected: list[str]) -> None:
    write(project, "a.tif", "b.tif", ".hidden.tif", ".git/c.tif", "one/a.tif", "one/two/a.tif", "one/two/b.jpg")

    assert names(project, pattern) == expected


def test_files_come_once_and_sorted_by_code_points_whatever_the_patterns(project: Path) -> None:
    write(project, "b", "a", "Z", "ä", "a/b".replace("/", "-"), "é")

    assert names(project, "é", "*", "a", "**") == sorted(["b", "a", "Z", "ä", "a-b", "é"])


@pytest.mark.parametrize(
    ("exclude", "left"),
    [
        (("drafts",), ["a.tif", "b.bak"]),
        (("drafts/**",), ["a.tif", "b.bak"]),
        (("**/*.bak",), ["a.tif", "drafts/a.tif"]),
        (("*.bak",), ["a.tif", "drafts/a.tif", "drafts/c.bak"]),
        (("**",), []),
        (("draft",), ["a.tif", "b.bak", "drafts/a.tif", "drafts/c.bak"]),
    ],
)
def test_what_is_excluded_is_left_out_with_all_below_it(
    project: Path, exclude: tuple[str, ...], left: list[str]
) -> None:
    write(project, "a.tif", "b.bak", "drafts/a.tif", "drafts/c.bak")

    assert names(project, "**", exclude=exclude) == left


def test_awkward_names_are_names(project: Path) -> None:
    write(project, *AWKWARD)

    assert names(project, "*") == sorted(AWKWARD)
    assert names(project, "[*].tif") == ["*.tif"]
    for name in AWKWARD:
        fact = stat_file(project, name, root=project)
        assert isinstance(fact, FileFact)
        assert Path(fact.absolute).read_text(encoding="utf-8") == name


def test_a_fact_says_what_a_stat_says(project: Path) -> None:
    write(project, "a.tif")
    found = (project / "a.tif").stat()

    (fact,) = list_files(project, ["*.tif"], root=project).files

    assert (fact.size, fact.mtime_ns, fact.inode) == (found.st_size, found.st_mtime_ns, found.st_ino)
    assert fact.absolute == f"{project}/a.tif"


def test_a_name_that_is_not_utf8_is_a_problem_that_can_be_printed(project: Path) -> None:
    (project / os.fsdecode(b"caf\xe9.tif")).write_bytes(b"")

    (problem,) = list_files(project, ["*.tif"], root=project).problems

    assert (problem.path, problem.code) == ("caf\\xe9.tif", "name-not-utf8")
    problem.message.encode()


def test_links_that_stay_in_the_project_are_files(project: Path) -> None:
    write(project, "real/a.tif")
    (project / "link.tif").symlink_to("real/a.tif")
    (project / "folder").symlink_to("real")

    assert names(project, "*.tif") == ["link.tif"]
    assert names(project, "folder/*.tif") == ["folder/a.tif"]
    assert names(project, "**/a.tif") == ["real/a.tif"]


def test_links_and_dots_that_leave_the_project_are_problems(tmp_path: Path, project: Path) -> None:
    write(tmp_path, "secret.tif", "elsewhere/a.tif")
    (project / "file.tif").symlink_to("../secret.tif")
    (project / "folder").symlink_to(tmp_path / "elsewhere")
    write(project, "fine.tif")

    listing = list_files(project, ["*.tif", "folder/*", "../*.tif"], root=project)

    assert [each.path for each in listing.files] == ["fine.tif"]
    found = [(each.path, each.code) for each in listing.problems]
    assert found == [("..", "outside-project"), ("file.tif", "outside-project"), ("folder", "outside-project")]


def test_dots_within_the_project_are_fine(project: Path) -> None:
    write(project, "shared/a.tif", "recipes/x")

    listing = list_files(project / "recipes", ["../shared/*.tif"], root=project)

    assert [each.path for each in listing.files] == ["../shared/a.tif"]
    assert listing.problems == ()


def test_loops_of_links_do_not_hang(project: Path) -> None:
    write(project, "a/b/c.tif")
    (project / "a/b/up").symlink_to("../..")
    (project / "self").symlink_to("self")
    (project / "dangling").symlink_to("nowhere")

    assert names(project, "**/*.tif") == ["a/b/c.tif"]
    assert codes(project, "*") == [("dangling", "missing-file"), ("self", "unreadable-file")]


def test_folders_are_skipped_and_pipes_are_problems(project: Path) -> None:
    write(project, "folder/x", "file")
    os.mkfifo(project / "pipe")
    # A long temporary path doesn't fit into the address of a socket, so go there by the open folder.
    with socket.socket(socket.AF_UNIX) as server:
        here = os.open(project, os.O_RDONLY)
        server.bind(f"/proc/self/fd/{here}/sock")
        os.close(here)

    assert codes(project, "*") == [("pipe", "not-a-file"), ("sock", "not-a-file")]


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("nothing.tif", "missing-file"),
        ("folder", "not-a-file"),
        ("/etc/passwd", "absolute-path"),
        ("", "absolute-path"),
        ("../outside.tif", "outside-project"),
        ("x" * 300, "unreadable-file"),
    ],
)
def test_one_file_that_cannot_be_used_is_a_problem(project: Path, path: str, code: str) -> None:
    write(project, "folder/x", "../outside.tif")

    problem = stat_file(project, path, root=project)

    assert isinstance(problem, FileProblem)
    assert problem.code == code


def test_a_name_with_brackets_means_the_file_of_that_name_where_there_is_one(project: Path) -> None:
    write(project, "in [2]/scan [1].jpg", "in [2]/scan 1.jpg", "in 2/scan [1].jpg", "in 2/scan 2.jpg")

    assert names(project, "in [2]/scan [1].jpg") == ["in [2]/scan [1].jpg"]
    assert names(project, "in [2]/*") == ["in [2]/scan 1.jpg", "in [2]/scan [1].jpg"]
    assert names(project, "in 2/scan [12].jpg") == ["in 2/scan 2.jpg"]
    assert names(project, "in 2/*", exclude=("in 2/scan [1].jpg",)) == ["in 2/scan 2.jpg"]


def test_a_folder_with_brackets_in_its_name_does_not_hide_the_files_of_a_class(project: Path) -> None:
    write(project, "[ab]/x", "a")

    assert names(project, "[ab]") == ["a"]


@pytest.mark.parametrize(
    ("pattern", "said", "hint"),
    [
        ("photos", "'photos' is a folder, not a file", "write 'photos/*'"),
        ("photos/", "'photos/' is a folder, not a file", "write 'photos/*'"),
        ("photos/*.{jpg,png}", "'photos/*.{jpg,png}' matches no file", "takes an array of globs"),
        ("photos\\*.jpg", "'photos\\*.jpg' matches no file", "parted by slashes: 'photos/*.jpg'"),
        ("photos/scan [1]*", "'photos/scan [1]*' matches no file", "'photos/scan [[]1]*'"),
        ("photos/[b].jpg", "'photos/[b].jpg' matches no file", "'photos/[[]b].jpg'"),
        ("photos/aa.jpg", "'photos/aa.jpg' isn't there", "did you mean 'photos/a.jpg'?"),
        ("photos/A.jpg", "'photos/A.jpg' isn't there", "did you mean 'photos/a.jpg'?"),
    ],
)
def test_a_pattern_that_matches_nothing_is_told_with_what_was_meant(
    project: Path, pattern: str, said: str, hint: str
) -> None:
    write(project, "photos/a.jpg", "photos/scan [1] of 2.jpg")

    (problem,) = list_files(project, [pattern], root=project).problems

    assert problem.message == said
    assert hint in problem.hint


def test_beside_others_a_pattern_may_match_nothing_unless_something_else_was_meant(project: Path) -> None:
    write(project, "a.jpg", "scan [1] of 2.jpg")

    listing = list_files(project, ["*.jpg", "[0-9].jpg", "scan [1]*", "b/*"], root=project)

    assert [each.path for each in listing.files] == ["a.jpg", "scan [1] of 2.jpg"]
    assert [(each.path, each.pattern) for each in listing.problems] == [("scan [1]*", 2)]
    assert listing.unmatched == (1, 3)


def test_beside_others_a_name_that_is_not_there_is_a_problem(project: Path) -> None:
    write(project, "in/a.jpg", "drafts/b.jpg")
    (project / "in/gone.jpg").symlink_to("nowhere.jpg")

    patterns = ["in/a.jpg", "./in/b.jpg", "in/gone.jpg", "drafts/b.jpg", "nowhere/c.jpg"]
    listing = list_files(project, patterns, ["drafts"], root=project)

    assert [each.path for each in listing.files] == ["in/a.jpg"]
    assert [(each.path, each.code, each.pattern) for each in listing.problems] == [
        ("in/b.jpg", "missing-file", 1),
        ("in/gone.jpg", "missing-file", 2),
        ("nowhere/c.jpg", "missing-file", 4),
    ]
    assert listing.problems[0].hint == "did you mean 'in/a.jpg'?"


def test_a_pattern_whose_files_are_all_excluded_or_named_already_is_no_problem(project: Path) -> None:
    write(project, "drafts/{a,b}.jpg", "c.jpg")

    assert names(project, "drafts/{a,b}.jpg", "drafts", "c.jpg", "./c.jpg", exclude=("drafts",)) == ["c.jpg"]


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("photos/A.jpg", "did you mean 'photos/a.jpg'?"),
        ("photos/c.jpg", "did you mean 'photos/C.JPG'?"),
        ("photos/d.png", "paths are relative to the recipe"),
        ("photos\\a.jpg", "folders are parted by slashes: 'photos/a.jpg'"),
        ("photos/{left,right}.tiff", "braces aren't special in a glob; foreach.files takes an array of globs"),
    ],
)
def test_a_file_that_is_missing_is_told_with_what_was_perhaps_meant(project: Path, path: str, hint: str) -> None:
    write(project, "photos/a.jpg", "photos/b.jpg", "photos/C.JPG")

    problem = stat_file(project, path, root=project)

    assert isinstance(problem, FileProblem)
    assert problem.hint == hint


def test_an_absolute_pattern_is_a_problem(project: Path) -> None:
    assert codes(project, "/etc/*") == [("/etc/*", "absolute-path")]


def test_a_folder_nobody_may_read_is_a_problem_and_the_others_are_listed(project: Path) -> None:
    write(project, "closed/a.tif", "open/b.tif")
    (project / "closed").chmod(0)
    script = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from runner.inventory import list_files\n"
        "if os.geteuid() == 0: os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "listing = list_files(Path('.'), ['**/*.tif'], root=Path('.'))\n"
        "print([f.path for f in listing.files], [(p.path, p.code) for p in listing.problems])\n"
    )

    with readable_by_all(project):
        out = subprocess.run([sys.executable, "-c", script], cwd=project, check=True, capture_output=True, text=True)

    assert out.stdout.strip() == "['open/b.tif'] [('closed/', 'unreadable-folder')]"


class readable_by_all:  # noqa: N801 - reads like a function
    """Opens the folders above a temporary one for everybody."""

    def __init__(self, folder: Path) -> None:
        self.closed = [each for each in (folder, *folder.parents) if not each.stat().st_mode & 0o005]

    def __enter__(self) -> None:
        self.modes = [each.stat().st_mode for each in self.closed]
        for each in self.closed:
            each.chmod(each.stat().st_mode | 0o055)

    def __exit__(self, *_: object) -> None:
        for each, mode in zip(self.closed, self.modes, strict=True):
            each.chmod(mode)


NAMES = st.text(st.sampled_from("ab.-*?![]ä\n"), min_size=1, max_size=6)


@given(pattern=NAMES, name=NAMES)
def test_within_a_name_our_globs_agree_with_those_of_the_standard_library(pattern: str, name: str) -> None:
    ours = bool(path_matcher(pattern).fullmatch(name))

    # `**` and `.` alone are ours; the library reads a class that opens with "[]" or holds odd ranges as we do.
    if pattern in ("**", ".", "..") or set(pattern) == {"*"}:
        return
    assert ours == fnmatch.fnmatchcase(name, pattern)


@given(pattern=NAMES, name=NAMES)
def test_no_pattern_is_too_odd_to_compile_and_a_star_takes_no_leading_dot(pattern: str, name: str) -> None:
    matched = bool(name_matcher(pattern).match(name))

    assert not (matched and name.startswith(".") and pattern[0] in "*?")


@pytest.fixture(autouse=True)
def _open_folders(project: Path) -> Iterator[None]:
    yield
    for each in project.iterdir():
        if each.is_dir() and not each.is_symlink():
            each.chmod(0o700)
