from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runner.recipe.check import check_recipes
from runner.recipe.load import load_recipes
from runner.recipe.model import Budget, Foreach, Loaded, Save
from runner.recipe.served import Abilities
from runner.report.findings import findings_text
from runner.resources import catalog_document
from runner.wire.catalog import Catalog

RECIPES = Path(__file__).parent.parent / "recipes"
Load = Callable[..., Loaded]


def _said(loaded: Loaded) -> list[str]:
    return [f"{p.place.file.name}:{p.place.line}:{p.place.column} {p.message}" for p in loaded.problems]


def test_recipe_holds_what_the_file_says(catalog: Catalog) -> None:
    file = RECIPES / "valid" / "everything.recipe.toml"

    recipe = load_recipes([file], catalog=catalog).recipes[0]

    assert (recipe.file, recipe.folder, recipe.name) == (file, file.parent, "Büro 漢字")
    assert (recipe.retry, recipe.deadline_s, recipe.epoch, recipe.tags) == (2, 90.0, 3, ("a", "b"))
    assert recipe.foreach == Foreach(
        kind="files", patterns=("photos/*.jpg", "photos/*.{png,gif}"), exclude=("draft-*",), max_items=10
    )
    assert recipe.save is not None
    assert recipe.save.on_conflict == "rename"
    assert recipe.budget == Budget(run=10, day=20)
    assert recipe.vars == {"quality": 80, "folder": "photos", "width": 100, "cap": 4}
    assert recipe.job["input"][0]["source"] == "{item.path}"
    assert recipe.job["download_passwords"] == [{"env": "PW"}]
    assert recipe.job["limits"] == {"job": {"max_credit": "{vars.cap}"}}


def test_job_document_of_the_api_is_a_recipe_in_its_one_form(catalog: Catalog) -> None:
    loaded = load_recipes([RECIPES / "valid" / "api-job.recipe.json"], catalog=catalog)

    recipe = loaded.recipes[0]
    assert recipe.name == "api-job"
    assert set(recipe.job) == {
        "input", "conversion", "limits", "callback", "notify_status", "fail_on_input_error", "fail_on_conversion_error",
    }  # fmt: skip
    assert recipe.job["input"] == [
        {"type": "remote", "source": "https://example.com/a.wav", "filename": "", "parameters": {}, "credentials": {}}
    ]
    assert recipe.job["limits"] == {}
    assert {problem.severity for problem in loaded.problems} == {"note"}
    assert "'process' is ignored: the runner decides when a job starts" in {p.message for p in loaded.problems}


def test_save_without_a_path_keeps_the_usual_one(load: Load, fetch: str) -> None:
    recipe = load(x__recipe__toml=fetch + '[save]\non_conflict = "skip"').recipes[0]

    assert recipe.save == Save(path="out/{recipe.name}/{item.dir}/{output.filename}", on_conflict="skip")


def test_name_comes_from_the_file(load: Load, fetch: str) -> None:
    assert [one.name for one in load(photos__recipe__toml=fetch).recipes] == ["photos"]


def test_two_recipes_of_one_name_are_an_error_that_names_the_other(load: Load, fetch: str, tmp_path: Path) -> None:
    loaded = load(a__recipe__toml='name = "x"\n' + fetch, b__recipe__toml=f'\nname = "x"\n{fetch}')

    assert _said(loaded) == [f"b.recipe.toml:2:8 the name 'x' is taken by {tmp_path}/a.recipe.toml"]


def test_file_name_that_is_no_name_needs_a_name_in_the_file(load: Load, fetch: str) -> None:
    loaded = load(**{"a[\n].recipe.toml": fetch})

    assert loaded.problems[0].message == "the name 'a[\\n]' holds slashes, square brackets or control characters"


def test_circle_of_recipes_is_an_error(load: Load, fetch: str) -> None:
    loaded = load(a__recipe__toml='after = "b"\n' + fetch, b__recipe__toml='after = ["a"]\n' + fetch)

    assert _said(loaded) == ["a.recipe.toml:1:9 'a' comes after 'b', which comes after 'a'"]


@pytest.mark.parametrize(
    ("after", "said"),
    [
        pytest.param({"a": ["a"]}, ["a.recipe.toml:1:9 'a' comes after itself"], id="itself"),
        pytest.param(
            {"a": ["b"], "b": ["c"], "c": ["b"]},
            ["b.recipe.toml:1:9 'b' comes after 'c', which comes after 'b'"],
            id="one-that-waits-for-a-circle-is-no-part-of-it",
        ),
        pytest.param(
            {"a": ["b"], "b": ["c"], "c": ["a"]},
            ["a.recipe.toml:1:9 'a' comes after 'b', which comes after 'c', which comes after 'a'"],
            id="three",
        ),
        pytest.param(
            {"a": ["b"], "b": ["a"], "c": ["d"], "d": ["c"]},
            [
                "a.recipe.toml:1:9 'a' comes after 'b', which comes after 'a'",
                "c.recipe.toml:1:9 'c' comes after 'd', which comes after 'c'",
            ],
            id="two-circles",
        ),
    ],
)
def test_a_circle_is_told_once_with_the_whole_way(
    load: Load, fetch: str, after: dict[str, list[str]], said: list[str]
) -> None:
    loaded = load(**{f"{name}__recipe__toml": f"after = {others}\n{fetch}" for name, others in after.items()})

    assert _said(loaded) == said


def test_include_lies_below_and_lends_its_values(load: Load, fetch: str) -> None:
    loaded = load(
        a__recipe__toml='include = ["one.toml", "two.toml"]\n[vars]\na = 1\n' + fetch,
        one__toml='name = "one"\nretry = 1\nepoch = 1\n[vars]\na = 0\nb = 2\n',
        two__toml='retry = 2\n[vars]\nc = 3\n',
    )  # fmt: skip

    recipe = loaded.recipes[0]
    assert (recipe.name, recipe.retry, recipe.epoch) == ("a", 2, 1)
    assert recipe.vars == {"a": 1, "b": 2, "c": 3}
    places = [recipe.locate(path) for path in [("vars", "a"), ("vars", "b"), ("retry",), ("epoch",)]]
    assert [f"{p.file.name}:{p.line}:{p.column}" for p in places] == [
        "a.recipe.toml:3:5", "one.toml:6:5", "two.toml:1:9", "one.toml:3:9",
    ]  # fmt: skip


def test_arrays_and_secret_references_replace(load: Load) -> None:
    loaded = load(
        a__recipe__toml='include = "base.toml"\ninput = { source = { env = "B" } }\ncallback = { env = "B" }\n',
        base__toml='input = [{ source = "https://e.com/1" }, { source = "https://e.com/2" }]\n'
        'callback = { file = "A" }\nconversion = { target = "png" }\n',
    )

    assert loaded.recipes[0].job == {
        "input": [{"source": {"env": "B"}}],
        "conversion": [{"target": "png"}],
        "callback": {"env": "B"},
    }


def test_profile_lies_on_top_and_is_located_there(load: Load, fetch: str) -> None:
    text = f"retry = 1\n{fetch}[profile.draft]\nretry = 3\n"

    plain, draft = load(x__recipe__toml=text).recipes[0], load("draft", x__recipe__toml=text).recipes[0]

    assert (plain.retry, draft.retry) == (1, 3)
    assert (plain.locate(("retry",)).line, draft.locate(("retry",)).line) == (1, 7)


def test_secret_in_a_profile_nobody_asked_for_is_an_error(load: Load, fetch: str) -> None:
    loaded = load(x__recipe__toml=fetch + '[profile.draft]\ndownload_passwords = ["hunter2"]\n')

    assert [(p.code, p.place.line, p.secret) for p in loaded.problems] == [("literal-secret", 6, True)]


def test_profile_that_no_recipe_has_is_an_error(load: Load, fetch: str) -> None:
    loaded = load("draf", x__recipe__toml=fetch + "[profile.draft]\nretry = 3\n")

    assert _said(loaded) == ["x.recipe.toml:1:1 --profile draf: no recipe here has it; did you mean 'draft'?"]
    assert "^" not in findings_text(loaded.problems, checked=1, color=False)


@pytest.mark.parametrize(
    ("value", "wish", "expected"),
    [("1", "2", 2), ("1.5", "2", 2.0), ("true", "false", False), ('"a"', "2", "2"), ("[1]", "[2, 3]", [2, 3])],
)
def test_set_keeps_the_type_that_the_recipe_gave(
    load: Load, fetch: str, value: str, wish: str, expected: object
) -> None:
    recipe = load(sets={"v": wish}, x__recipe__toml=f"vars.v = {value}\n{fetch}").recipes[0]

    assert recipe.vars["v"] == expected
    assert type(recipe.vars["v"]) is type(expected)


@pytest.mark.parametrize(
    ("value", "wish"),
    [
        *(("1", "x"), ("1", "1.5"), ("true", "1"), ("1", "true"), ("[1]", "{}")),
        *(("1.5", "NaN"), ("1.5", "-Infinity"), ("1.5", "1e999"), ("1.5", "1" * 400), ("1", "9007199254740993")),
        *(("[1]", "[NaN]"), ("[1]", "[" * 100_000)),
    ],
    ids=lambda text: text[:20],
)
def test_set_of_another_type_or_of_what_json_has_not_is_an_error_at_the_variable(
    load: Load, fetch: str, value: str, wish: str
) -> None:
    loaded = load(sets={"v": wish}, x__recipe__toml=f"vars.v = {value}\n{fetch}")

    assert [(p.code, p.place.column) for p in loaded.problems] == [("wrong-type", 10)]


def test_set_of_an_unknown_variable_is_an_error(load: Load, fetch: str) -> None:
    loaded = load(sets={"qualty": "1"}, x__recipe__toml=f"vars.quality = 1\n{fetch}")

    assert _said(loaded) == ["x.recipe.toml:1:1 --set qualty: no recipe here has it in vars; did you mean 'quality'?"]
    assert "^" not in findings_text(loaded.problems, checked=1, color=False)


def test_variable_is_checked_like_the_value_it_stands_for(load: Load) -> None:
    text = (
        'vars.q = 80\ninput = { source = "https://e.com" }\n\n'
        '[[conversion]]\ntarget = "jpg"\noptions.quality = "{vars.q}"\n'
    )

    assert load(x__recipe__toml=text).problems == ()
    assert _said(load(sets={"q": "140"}, x__recipe__toml=text)) == [
        "x.recipe.toml:6:19 quality is 140; the maximum for jpg is 100"
    ]


def test_files_that_include_each_other_over_and_over_are_read_once(load: Load, fetch: str) -> None:
    files = {
        f"part{n}.toml": f'include = ["part{n + 1}.toml", "part{n + 1}.toml"]\nvars.v{n} = {n}\n' for n in range(40)
    }

    recipe = load(**files, **{"part40.toml": "retry = 7\n", "a.recipe.toml": 'include = "part0.toml"\n' + fetch})

    assert recipe.recipes[0].retry == 7
    assert len(recipe.recipes[0].vars) == 40


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("netrc", "'netrc' isn't a TOML or JSON file by its name"),
        ("{outside}/common.toml", "is absolute; what is included is named relative to the file that does"),
        ("../outside/common.toml", "'../outside/common.toml' leads out of the project"),
        ("link.toml", "'link.toml' leads out of the project"),
        ("folder/common.toml", "'folder/common.toml' leads out of the project"),
        ("near.toml", "'near.toml' isn't a TOML or JSON file by its name"),
        ("a\\u0000b.toml", "a path can't hold the character NUL"),
    ],
)
def test_only_recipe_files_of_the_project_are_included(
    tmp_path: Path, catalog: Catalog, fetch: str, name: str, said: str
) -> None:
    outside, project = tmp_path / "outside", tmp_path / "project"
    for folder in (outside, project):
        folder.mkdir()
        (folder / "common.toml").write_text("machine h password CANARY\n")
    (project / "runner.toml").touch()
    (project / "netrc").write_text("machine h password CANARY\n")
    (project / "link.toml").symlink_to("../outside/common.toml")
    (project / "near.toml").symlink_to("netrc")
    (project / "folder").symlink_to("../outside")
    (project / "a.recipe.toml").write_text(f'include = ["{name.format(outside=outside)}"]\n{fetch}')

    checked = check_recipes([project], catalog=catalog)

    text = findings_text(checked.problems, checked=1, color=False)
    assert [problem.code for problem in checked.problems] == ["bad-include"]
    assert f"{project}/a.recipe.toml:1:12: error: " in text
    assert said in text
    assert "CANARY" not in text


def test_a_part_is_included_from_elsewhere_in_the_project(tmp_path: Path, catalog: Catalog, fetch: str) -> None:
    (tmp_path / "runner.toml").touch()
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts/real.toml").write_text("retry = 7\n")
    (tmp_path / "parts/common.toml").symlink_to("real.toml")
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b/a.recipe.toml").write_text(f'include = "../../parts/common.toml"\n{fetch}')

    (recipe,) = load_recipes([tmp_path], catalog=catalog).recipes

    assert recipe.retry == 7


@pytest.mark.parametrize("text", ["CANARY machine h\n", 'user = "CANARY"\n'], ids=["no TOML", "TOML"])
def test_nothing_is_shown_of_what_a_link_out_of_the_project_leads_to(
    tmp_path: Path, catalog: Catalog, text: str
) -> None:
    (tmp_path / "env.toml").write_text(text)
    (tmp_path / "project").mkdir()
    (tmp_path / "project/a.recipe.toml").symlink_to("../env.toml")

    checked = check_recipes([tmp_path / "project"], catalog=catalog)

    assert checked.problems
    assert "CANARY" not in findings_text(checked.problems, checked=1, color=False)


def test_problem_of_a_shared_include_is_told_once(load: Load, fetch: str) -> None:
    text = f'include = "base.toml"\n{fetch}'

    loaded = load(a__recipe__toml=text, b__recipe__toml=text, base__toml='retry = "x"\n')

    assert _said(loaded) == ["base.toml:1:9 retry must be a whole number, not text"]
    assert loaded.recipes == ()


def test_good_recipe_beside_a_bad_one_is_loaded(load: Load, fetch: str) -> None:
    loaded = load(good__recipe__toml=fetch, bad__recipe__toml="x")

    assert ([one.name for one in loaded.recipes], loaded.checked) == (["good"], 2)


def test_file_with_a_hundred_thousand_problems_tells_the_first_thousand(load: Load) -> None:
    loaded = load(x__recipe__toml="".join(f"inpt{n} = 1\n" for n in range(100_000)))

    assert len(loaded.problems) == 1001
    assert "has more than 1,000 problems; these are the first" in {problem.message for problem in loaded.problems}


def test_locate_of_what_is_not_written_gives_the_nearest_above(load: Load, fetch: str) -> None:
    recipe = load(x__recipe__toml=fetch).recipes[0]

    place = recipe.locate(("input", 0, "credentials", "x"))

    assert (place.line, place.column, place.end_column) == (1, 3, 8)
    assert recipe.locate(("save", "path")).line == 1


def test_locate_survives_a_file_that_is_gone(load: Load, fetch: str) -> None:
    recipe = load(x__recipe__toml=fetch).recipes[0]
    recipe.file.unlink()

    assert recipe.locate(("input", 0)).file == recipe.file


def test_many_recipes_in_processes_give_what_one_by_one_gives(tmp_path: Path, catalog: Catalog, fetch: str) -> None:
    for number in range(260):
        bad = "retri = 1\n" if number % 50 == 7 else ""
        (tmp_path / f"{number}.recipe.toml").write_text(bad + fetch)

    checks = [check_recipes([tmp_path], catalog=catalog, processes=n) for n in (1, 2)]

    assert checks[0] == checks[1]
    assert (checks[0].checked, len(checks[0].problems)) == (260, 6)
    assert checks[0].problems == load_recipes([tmp_path], catalog=catalog).problems


CATALOG = Catalog.read(catalog_document())
LEAVES = ("upload", "cloud", "amazons3", "jpg", "pdf", "{item.path}", "{vars.x}", "https://e.com", "../x")
INNER = (
    *("input", "conversion", "type", "source", "target", "options", "category", "output_target", "credentials"),
    *("parameters", "vars", "foreach", "files", "rows", "matrix", "save", "path", "limits", "job", "budget"),
    *("profile", "include", "after", "name", "x", "env", "keyfile", "callback", "max_credit"),
)
TOP = (
    *("input", "conversion", "vars", "foreach", "save", "limits", "budget", "profile", "include", "after"),
    *("name", "callback", "download_passwords", "notify_status", "retry", "deadline", "x"),
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.sampled_from(LEAVES)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(INNER), inner, max_size=5),
    max_leaves=25,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None)
@given(document=st.dictionaries(st.sampled_from(TOP), VALUES, max_size=8))
def test_no_document_makes_loading_raise(tmp_path: Path, document: dict[str, object]) -> None:
    (tmp_path / "x.recipe.json").write_text(json.dumps(document))

    loaded = load_recipes([tmp_path], catalog=CATALOG)

    assert bool(loaded.recipes) != any(problem.severity == "error" for problem in loaded.problems)
    assert all(problem.place.line >= 1 for problem in loaded.problems)


def test_set_to_what_is_no_utf8_is_an_error_at_the_variable(load: Load, fetch: str) -> None:
    loaded = load(sets={"v": "a\udcff"}, x__recipe__toml=f'vars.v = "a"\n{fetch}')

    assert [(p.code, p.place.column) for p in loaded.problems] == [("wrong-type", 10)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("retry = 1\n\n  retry = 2\n", "3:3 duplicate key 'retry'; it stands at 1:1 already"),
        ("[limits]\n[vars]\n [limits]\n", "3:3 duplicate key 'limits'; it stands at 1:2 already"),
        ("[limits]\n[limits.job]\n[limits.job]\n", "duplicate key 'limits.job'; it stands at 2:2 already"),
        ("vars = { a = 1, a = 2 }\n", "1:17 duplicate key 'a'"),
    ],
)
def test_duplicate_key_is_named_with_the_place_it_stands_at_already(load: Load, text: str, said: str) -> None:
    (told,) = _said(load(x__recipe__toml=text))

    assert told.endswith(said)


def test_duplicate_key_in_json_is_named_with_both_places(load: Load) -> None:
    told = _said(load(x__recipe__json='{\n "vars": {"a": 1,\n  "a": 2}}'))

    assert told[-1] == "x.recipe.json:3:3 duplicate key 'a'; it stands at 2:11 already"


def test_a_default_that_cannot_be_said_is_to_be_left_out(load: Load) -> None:
    options = '{ width = 9, resize_handling = "keep_aspect_ratio" }'
    conversion = f'[[conversion]]\ntarget = "resize-image"\noptions = {options}\n'

    (told,) = _said(load(x__recipe__toml=f'[[input]]\nsource = "https://example.com/a.jpg"\n{conversion}'))

    assert told.endswith("resize_handling can't be 'keep_aspect_ratio', which is what happens without it; leave it out")


def test_a_provider_that_this_machine_cannot_reach_is_a_warning_at_its_place(tmp_path: Path, catalog: Catalog) -> None:
    file = tmp_path / "a.recipe.toml"
    file.write_text((RECIPES.parents[1] / "recipes" / "s3-input.recipe.toml").read_text())

    problems = check_recipes([file], catalog=catalog, abilities=Abilities(unserved="pip install {}".format)).problems

    assert [(one.severity, one.code, one.hint) for one in problems] == [
        ("warning", "missing-extra", "pip install amazons3")
    ]
    assert check_recipes([file], catalog=catalog, abilities=Abilities()).problems == ()


@pytest.mark.parametrize("deadline", ["99999999999d", "0s", "05m", "-1h", "soon"])
def test_a_duration_out_of_range_is_told_the_range(load: Load, fetch: str, deadline: str) -> None:
    told = load(x__recipe__toml=f'deadline = "{deadline}"\n{fetch}').problems

    assert [one.code for one in told] == ["wrong-form"]
    assert "a whole number from 1 to 999999999 (no zero in front) and s, m, h or d" in told[0].hint


@pytest.mark.parametrize(
    ("foreach", "hint"),
    [
        pytest.param('files = ["a/*", "!a/b.jpg"]', "write exclude = ['a/b.jpg'] in [foreach]", id="files"),
        pytest.param('files = "!a/b.jpg"', "write exclude = ['a/b.jpg'] in [foreach]", id="only-one"),
        pytest.param('files = "a/*"\nexclude = "!b"', "exclude takes out all that it names", id="exclude"),
        pytest.param('bucket = { source = "ftp", match = "!*.tmp" }', "write exclude = ['*.tmp']", id="bucket"),
    ],
)
def test_a_glob_that_would_take_out_elsewhere_is_an_error_that_names_exclude(
    load: Load, fetch: str, foreach: str, hint: str
) -> None:
    told = [one for one in load(x__recipe__toml=f"[foreach]\n{foreach}\n{fetch}").problems if "'!" in one.message]

    assert [(one.code, one.severity) for one in told] == [("wrong-form", "error")]
    assert hint in told[0].hint
    assert "./!" in told[0].hint


def test_a_name_that_begins_with_an_exclamation_mark_can_be_written(load: Load, fetch: str) -> None:
    assert load(x__recipe__toml=f'[foreach]\nfiles = ["./!a.jpg", "b!.jpg"]\n{fetch}').problems == ()


def test_a_budget_that_no_job_fits_into_is_an_error_with_both_numbers(load: Load, fetch: str) -> None:
    (told,) = _said(load(x__recipe__toml=f"budget = {{ run = 3, day = 9 }}\nlimits.job.max_credit = 5\n{fetch}"))

    assert told == ("x.recipe.toml:1:18 budget.run is 3, and limits.job.max_credit lets one job cost 5: none ever fits")


@pytest.mark.parametrize("budget", ["run = 5", "day = 6", "run = 0"])
def test_a_budget_that_a_job_fits_into_or_that_stops_all_is_fine(load: Load, fetch: str, budget: str) -> None:
    assert load(x__recipe__toml=f"budget = {{ {budget} }}\nlimits.job.max_credit = 5\n{fetch}").problems == ()


@pytest.mark.parametrize(
    ("text", "said", "hint"),
    [
        pytest.param(
            '{fetch}[save]\npath = "o/x"\nretry = 2',
            "unknown key 'retry' in save",
            "'retry' belongs at the top of the recipe; in TOML that is before the first [table]",
            id="below-a-table",
        ),
        pytest.param('files = "*.jpg"\n{fetch}', "unknown key 'files'", "'files' belongs in 'foreach'", id="files"),
        pytest.param('rows = "a.csv"\n{fetch}', "unknown key 'rows'", "'rows' belongs in 'foreach'", id="rows"),
        pytest.param("matrix.a = [1]\n{fetch}", "unknown key 'matrix'", "'matrix' belongs in 'foreach'", id="matrix"),
        pytest.param('path = "a"\n{fetch}', "unknown key 'path'", "'path' belongs in 'save'", id="path"),
        pytest.param(
            "{fetch}width = 30",
            "unknown key 'width' in conversion",
            "there are 'category', 'id', 'metadata', 'options', 'output_target', 'target'; "
            "what a target takes stands in its options, such as options = { width = ... }",
            id="option",
        ),
        pytest.param(
            '{fetch}[profile.x]\nfiles = "a"', "unknown key 'files' in x", "'files' belongs in 'foreach'", id="profile"
        ),
        pytest.param("{fetch}[sav]\n", "unknown key 'sav'; did you mean 'save'?", "", id="misspelt"),
    ],
)
def test_a_key_in_the_wrong_place_is_told_where_it_belongs(
    load: Load, fetch: str, text: str, said: str, hint: str
) -> None:
    (told,) = load(x__recipe__toml=text.format(fetch=fetch)).problems

    assert told.message == said
    assert told.hint == hint


def test_a_prefix_that_is_empty_is_told_how_the_whole_bucket_is_meant(load: Load) -> None:
    text = (
        '[foreach.bucket]\nsource = "ftp"\nparameters = { host = "h", prefix = "" }\n'
        'credentials = { username = "u", password = { env = "P" } }\n[[conversion]]\ntarget = "webp"\n'
    )

    (told,) = [one for one in load(x__recipe__toml=text).problems if one.code == "wrong-size"]

    assert told.message == "prefix is empty"
    assert told.hint.startswith("leave it out for the whole bucket")
