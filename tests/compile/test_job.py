"""Jobs: payloads, uploads, templates, and where results will lie."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from runner.compile import Item, compiled_json, drafts_of, shared_paths
from runner.compile.save import save_to
from runner.errors import InvalidError
from runner.recipe.model import DEFAULT_SAVE, Budget, Foreach, Save

UPLOAD = {"input": [{"type": "upload", "source": "{item.path}"}], "conversion": [{"target": "webp"}]}
FILES = Foreach(kind="files", patterns=("*",))


def photo(kitchen: Any, path: str = "in/a.jpg", *, job: dict[str, Any] | None = None, **more: Any) -> Any:
    """The job of one file."""
    made = kitchen.recipe(job or UPLOAD, **({"foreach": FILES} | more))
    return kitchen.job_of(made, item=kitchen.file_item(path), files=[[kitchen.content(path)]])


def test_a_job_says_what_is_sent_and_under_which_address(kitchen: Any) -> None:
    job = photo(kitchen)

    assert job.address == "shop[in/a.jpg]"
    assert job.payload["input"] == [{"type": "upload", "source": "in/a.jpg"}]
    assert [(one.input_index, one.filename) for one in job.uploads] == [(0, "a.jpg")]


def test_without_foreach_the_address_is_the_recipe(kitchen: Any) -> None:
    made = kitchen.recipe({"input": [{"source": "https://example.com/a.jpg"}], "conversion": [{"target": "webp"}]})

    assert kitchen.job_of(made).address == "shop"


def test_cap_retry_and_budget_come_from_the_recipe(kitchen: Any) -> None:
    job = photo(
        kitchen,
        job=UPLOAD | {"limits": {"job": {"max_credit": 3}}},
        retry=2,
        budget=Budget(run=9, day=20),
        after=("b",),
    )

    assert (job.cap, job.retry, job.run_budget, job.day_budget, job.after) == (3, 2, 9, 20, ("b",))
    assert photo(kitchen).cap is None


@pytest.mark.parametrize("name", ["{run.date}.jpg", "{output.ext}.jpg", "{item.name}.jpg", "{vars.x}{recipe.name}.jpg"])
def test_the_name_of_a_file_cannot_smuggle_a_template_in(kitchen: Any, name: str) -> None:
    job = photo(
        kitchen,
        name,
        job=UPLOAD | {"input": [{"type": "upload", "source": "{item.path}", "filename": "{run.date}-{item.name}"}]},
        save=Save(path="out/{item.name}/{output.filename}"),
        vars={"x": "canary"},
    )

    sent = job.payload_for(run_date="2026-11-23")["input"][0]

    assert (sent["source"], sent["filename"]) == (name, f"2026-11-23-{name}")
    path = job.save.path_for("x.webp", index=0, run_date="2026-11-23")
    assert path == kitchen.folder / "out" / name / "x.webp"


def test_the_key_does_not_change_with_the_day_but_the_payload_does(kitchen: Any) -> None:
    dated = UPLOAD | {"conversion": [{"target": "webp", "metadata": {"title": "of {run.date}"}}]}
    job = photo(kitchen, job=dated)

    days = [job.payload_for(run_date=day)["conversion"][0]["metadata"]["title"] for day in ("2026-11-23", "2026-11-24")]

    assert days == ["of 2026-11-23", "of 2026-11-24"]
    assert job.payload["conversion"][0]["metadata"]["title"] == "of {run.date}"


def test_the_payload_of_a_run_notes_names_and_digests_of_uploads(kitchen: Any) -> None:
    sent = photo(kitchen).payload_for(run_date="2026-11-23")

    assert sent["input"] == [{"type": "upload", "source": "in/a.jpg", "filename": "a.jpg", "sha256": "a" * 64}]


def test_a_lone_template_keeps_its_type(kitchen: Any) -> None:
    made = kitchen.recipe(
        {
            "input": [{"source": "https://example.com/{item.id}"}],
            "conversion": [{"target": "{item.to}", "options": {"width": "{item.width}", "text": "w {item.width}"}}],
        },
        foreach=Foreach(kind="matrix", matrix={}),
    )

    job = kitchen.job_of(made, item=Item(label="1", values={"id": 7, "to": "png", "width": 800}))

    assert job.payload["input"][0]["source"] == "https://example.com/7"
    assert job.payload["conversion"] == [{"target": "png", "options": {"width": 800, "text": "w 800"}}]


def test_a_source_written_as_a_glob_becomes_several_inputs_in_order(kitchen: Any) -> None:
    made = kitchen.recipe(
        {
            "input": [
                {"type": "upload", "source": "pages/*.png", "options": {"dpi": 300}},
                {"type": "remote", "source": "https://example.com/last.png"},
            ],
            "conversion": [{"target": "pdf"}],
        }
    )
    (draft,) = drafts_of(made, [Item()])
    assert [(one.source, one.is_glob) for one in draft.sources] == [("pages/*.png", True)]

    job = kitchen.job_of(
        made, files=[[kitchen.content("pages/1.png"), kitchen.content("pages/2.png", sha256="b" * 64)]]
    )

    assert [one["source"] for one in job.payload["input"]] == [
        "pages/1.png",
        "pages/2.png",
        "https://example.com/last.png",
    ]
    assert [one.get("options") for one in job.payload["input"]] == [{"dpi": 300}, {"dpi": 300}, None]
    assert [(one.input_index, one.filename) for one in job.uploads] == [(0, "1.png"), (1, "2.png")]


@pytest.mark.parametrize("source", ["{item.path}", "{vars.folder}/*.png", "plain.png"])
def test_what_a_template_expands_to_is_never_a_glob(kitchen: Any, source: str) -> None:
    made = kitchen.recipe(UPLOAD | {"input": [{"type": "upload", "source": source}]}, vars={"folder": "a*"})

    (draft,) = drafts_of(made, [kitchen.file_item("[a]*.png")])

    assert [one.is_glob for one in draft.sources] == [False]


def test_numbers_that_json_cannot_carry_are_a_problem_of_the_address(kitchen: Any) -> None:
    made = kitchen.recipe(UPLOAD | {"conversion": [{"target": "webp", "options": {"width": 2**60}}]}, foreach=FILES)

    job, problems = kitchen.compiled(made, item=kitchen.file_item("a.jpg"), files=[[kitchen.content("a.jpg")]])

    assert job is None
    assert [one.code for one in problems] == ["not-json"]
    assert problems[0].message.startswith("shop[a.jpg]: ")


@pytest.mark.parametrize(
    ("template", "values", "ok"),
    [
        ("out/{item.to}", {"to": "../../etc/passwd"}, False),
        ("out/{item.to}", {"to": ".."}, False),
        ("out/{item.to}", {"to": ""}, False),
        ("out/{item.to}", {"to": "a\0b"}, False),
        ("{item.to}/{output.filename}", {"to": "/etc"}, False),
        ("{item.to}/{output.filename}", {"to": ".."}, False),
        ("out/{item.to}/{output.filename}", {"to": "/etc"}, True),
        ("out/{item.to}/{output.filename}", {"to": "a/../b"}, True),
        ("/srv/results/{item.to}", {"to": "a.webp"}, True),
        ("/srv/results/{item.to}", {"to": "../a.webp"}, False),
        ("../results/{item.to}", {"to": "a.webp"}, True),
        ("../results/{item.to}", {"to": "../a.webp"}, False),
        ("out/{item.to}", {"to": "-rf é\n'\"*"}, True),
        ("out/{item.to}-{output.filename}", {"to": "x" * 248}, True),
        ("out/{item.to}-{output.filename}", {"to": "x" * 249}, False),
        ("out/{item.to}", {"to": "é" * 128}, False),
        ("out/{item.to}", {"to": "deep/" * 1000}, False),
    ],
)
def test_nothing_that_a_row_brings_leads_out_of_the_folder_the_author_wrote(
    kitchen: Any, template: str, values: dict[str, Any], *, ok: bool
) -> None:
    made = kitchen.recipe(
        {"input": [{"source": "https://example.com/a", "filename": "a.jpg"}], "conversion": [{"target": "webp"}]},
        foreach=Foreach(kind="rows", rows="o.csv"),
        save=Save(path=template),
    )

    job, problems = kitchen.compiled(made, item=Item(label="1", values=values))

    assert job is not None
    assert [one.code for one in problems] == ([] if ok else ["unsafe-save-path"])


def test_a_name_that_no_file_system_bears_is_found_although_the_result_has_none_yet(kitchen: Any) -> None:
    """Found at the delivery, it would be bought."""
    made = kitchen.recipe(
        {"input": [{"source": "https://example.com/a"}], "conversion": [{"target": "webp"}]},
        foreach=Foreach(kind="rows", rows="o.csv"),
        save=Save(path="out/{item.to}-{output.filename}"),
    )

    _, problems = kitchen.compiled(made, item=Item(label="1", values={"to": "x" * 400}))

    assert [one.code for one in problems] == ["unsafe-save-path"]
    assert "bytes" in problems[0].message


def test_a_name_that_the_server_makes_up_cannot_leave_the_folder_either(kitchen: Any) -> None:
    job = photo(kitchen, save=Save(path="out/{output.filename}"))

    with pytest.raises(InvalidError, match="outside of"):
        job.save.path_for("../../.bashrc", index=0, run_date="2026-11-23")


@pytest.mark.parametrize("name", ["../shop-2/a", "..", ".", "/etc/passwd", "//srv/shop/a", "a/../../b", "a\0b"])
def test_what_is_not_below_the_folder_is_outside_however_it_is_written(kitchen: Any, name: str) -> None:
    job = photo(kitchen, save=Save(path="{output.filename}"))

    with pytest.raises(InvalidError, match="outside of"):
        job.save.place_for(name, index=0, run_date="2026-11-23")


def test_a_recipe_may_lie_at_the_root() -> None:
    save = save_to(folder=Path("/"), template="out/{output.filename}", scope={}, on_conflict="error")

    assert save.place_for("a.webp", index=0, run_date="2026-11-23") == "/out/a.webp"


def test_items_share_what_no_item_has_a_part_in(kitchen: Any) -> None:
    made = kitchen.recipe(UPLOAD | {"conversion": [{"target": "{vars.to}"}]}, foreach=FILES, vars={"to": "webp"})

    one, other = drafts_of(made, [kitchen.file_item("in/a.jpg"), kitchen.file_item("in/b.jpg")])

    assert one.payload["conversion"] == [{"target": "webp"}]
    assert one.payload["conversion"] is other.payload["conversion"]
    assert [draft.payload["input"][0]["source"] for draft in (one, other)] == ["in/a.jpg", "in/b.jpg"]


def test_without_save_results_keep_the_folders_of_their_inputs(kitchen: Any) -> None:
    assert photo(kitchen, "in/deep/a.jpg").expected_paths(run_date="2026-11-23") == (
        f"{kitchen.folder}/out/shop/in/deep/a.webp",
    )


@pytest.mark.parametrize("save", [None, Save(path=DEFAULT_SAVE, on_conflict="skip")])
@pytest.mark.parametrize(
    ("source", "place"),
    [("../photos/a.jpg", "photos/a.webp"), ("../../a.jpg", "a.webp"), ("x/../../y/a.jpg", "y/a.webp")],
)
def test_without_save_results_of_inputs_above_the_recipe_stay_below_its_name(
    kitchen: Any, source: str, place: str, save: Save | None
) -> None:
    (path,) = photo(kitchen, source, save=save).expected_paths(run_date="2026-11-23")

    assert path == f"{kitchen.folder}/out/shop/{place}"


def test_folders_above_the_recipe_that_meet_one_beside_it_are_told_before_anything_is_bought(kitchen: Any) -> None:
    made = kitchen.recipe(UPLOAD, foreach=FILES)
    jobs = []
    for path in ("../in/x.jpg", "in/x.jpg"):
        (draft,) = drafts_of(made, [kitchen.file_item(path)])
        jobs.append((kitchen.job_of(made, item=draft.item, files=[[kitchen.content(path)]]), draft))

    ((problem, addresses),) = shared_paths(jobs, run_date="2026-11-23")

    assert addresses == ("shop[../in/x.jpg]", "shop[in/x.jpg]")
    assert (
        problem.hint
        == "their folders differ only in how far above the recipe's they lie: give each a recipe of its own"
    )


@pytest.mark.parametrize(
    ("job", "names"),
    [
        pytest.param({"conversion": [{"target": "jpeg"}, {"target": "TIF"}]}, ["a.jpg", "a.tiff"], id="long-names"),
        pytest.param({"conversion": [{"target": "png", "options": {"output_filename": "b"}}]}, ["b.png"], id="option"),
        pytest.param(
            {"conversion": [{"target": "png", "options": {"output_filename": "../../../evil"}}]}, ["evil.png"], id="up"
        ),
        pytest.param({"conversion": [{"target": "png", "options": {"output_filename": ".."}}]}, ["a.png"], id="dots"),
        pytest.param({"conversion": [{"target": "jpg"}, {"target": "jpeg"}]}, ["a.jpg", "a-2.jpg"], id="same-target"),
        pytest.param(
            {"conversion": [{"target": "jpg", "output_target": [{"type": "ftp"}]}, {"target": "jpg"}]},
            ["a-2.jpg"],
            id="same-target-elsewhere",
        ),
        pytest.param({"conversion": [{"target": "png", "output_target": [{"type": "ftp"}]}]}, [], id="cloud"),
        pytest.param(
            {"input": [{"type": "cloud", "source": "ftp", "parameters": {"file": "n/plain.png"}}]},
            ["plain.webp"],
            id="object",
        ),
        pytest.param({"input": [{"source": "https://example.com/a"}]}, [], id="only-the-server-knows"),
        pytest.param({"input": [{"source": "https://example.com/x", "filename": "c.png"}]}, ["c.webp"], id="named"),
    ],
)
def test_expected_paths_are_named_after_the_first_input(kitchen: Any, job: dict[str, Any], names: list[str]) -> None:
    made = kitchen.recipe(UPLOAD | job, foreach=FILES, save=Save(path="{output.filename}"))
    uploads = [[kitchen.content("in/a.jpg")]] if "input" not in job else []

    compiled = kitchen.job_of(made, item=kitchen.file_item("in/a.jpg"), files=uploads)

    assert [Path(path).name for path in compiled.expected_paths(run_date="2026-11-23")] == names


def test_two_results_under_one_name_are_found_before_anything_is_bought(kitchen: Any) -> None:
    made = kitchen.recipe(UPLOAD, foreach=FILES, save=Save(path="out/{output.filename}"))
    jobs = []
    for path in ("a/x.jpg", "b/x.png", "c/y.jpg"):
        (draft,) = drafts_of(made, [kitchen.file_item(path)])
        jobs.append((kitchen.job_of(made, item=draft.item, files=[[kitchen.content(path)]]), draft))

    ((problem, addresses),) = shared_paths(jobs, run_date="2026-11-23")

    assert addresses == ("shop[a/x.jpg]", "shop[b/x.png]")
    assert problem.code == "shared-path"
    assert "shop[a/x.jpg], shop[b/x.png] would all be saved as '/srv/shop/out/x.webp'" in problem.message


def test_two_results_of_one_job_can_clash_too(kitchen: Any) -> None:
    made = kitchen.recipe(
        UPLOAD | {"conversion": [{"target": "jpg"}, {"target": "jpeg"}]},
        foreach=FILES,
        save=Save(path="{item.stem}.{output.ext}"),
    )
    (draft,) = drafts_of(made, [kitchen.file_item("a.png")])
    job = kitchen.job_of(made, item=draft.item, files=[[kitchen.content("a.png")]])

    ((problem, _),) = shared_paths([(job, draft)], run_date="2026-11-23")
    assert problem.message == "several results of shop[a.png] would all be saved as '/srv/shop/a.jpg'"
    assert "{output.filename} or {output.index}" in problem.hint


SEVERAL = {"allow_multiple_outputs": True}


@pytest.mark.parametrize(
    ("path", "options", "on_conflict", "clashes"),
    [
        ("all.{output.ext}", SEVERAL, "skip", True),
        ("all.{output.ext}", SEVERAL, "rename", False),
        ("all.{output.ext}", {}, "skip", False),
        ("all.{output.ext}", SEVERAL | {"merge": True}, "skip", False),
        ("all.{output.ext}", SEVERAL | {"allow_multiple_outputs_threshold": 2}, "skip", False),
        ("{output.index}.jpg", SEVERAL, "skip", False),
        ("{output.stem}.jpg", SEVERAL, "skip", False),
    ],
)
def test_several_results_of_one_conversion_can_clash(
    path: str, options: dict[str, Any], on_conflict: Any, clashes: bool, kitchen: Any
) -> None:
    job = {"input": [{"type": "upload", "source": "*.png"}], "conversion": [{"target": "jpg", "options": options}]}
    made = kitchen.recipe(job, save=Save(path=path, on_conflict=on_conflict))
    (draft,) = drafts_of(made, [Item(label="", values={})])
    pictures = [kitchen.content(f"{name}.png") for name in "abc"]
    compiled = kitchen.job_of(made, files=[pictures])

    problems = [problem.message for problem, _ in shared_paths([(compiled, draft)], run_date="2026-11-23")]

    assert problems == (["several results of shop would all be saved as '/srv/shop/all.jpg'"] if clashes else [])


def test_results_that_two_items_would_share_are_told_apart_by_what_differs(kitchen: Any) -> None:
    upload = {"input": [{"type": "upload", "source": "a.png"}]}
    matrix = Foreach(kind="matrix", matrix={"width": (1, 2), "format": ("x",)})
    made = kitchen.recipe(UPLOAD | upload, foreach=matrix)
    items = [Item(label=f"width={n},format=x", values={"width": n, "format": "x"}) for n in (1, 2)]
    drafts = drafts_of(made, items)
    jobs = [(kitchen.job_of(made, item=one.item, files=[[kitchen.content("a.png")]]), one) for one in drafts]

    ((problem, _),) = shared_paths(jobs, run_date="2026-11-23")

    assert "{item.width}" in problem.hint
    assert "format" not in problem.hint


def test_columns_that_tell_items_apart_only_together_are_all_named(kitchen: Any) -> None:
    upload = {"input": [{"type": "upload", "source": "a.png"}]}
    rows = [(width, turn, same) for width in (1, 2) for turn in (0, 90) for same in ("x",)]
    items = [
        Item(label=f"{width},{turn}", values={"width": width, "turn": turn, "same": same}) for width, turn, same in rows
    ]
    drafts = drafts_of(kitchen.recipe(UPLOAD | upload, foreach=Foreach(kind="matrix", matrix={})), items)
    jobs = [(kitchen.job_of(one.recipe, item=one.item, files=[[kitchen.content("a.png")]]), one) for one in drafts]

    ((problem, _),) = shared_paths(jobs, run_date="2026-11-23")

    assert problem.hint.startswith("put {item.width} and {item.turn} into save.path")


def test_the_published_shape_holds_absolute_paths_and_references_only(kitchen: Any) -> None:
    job = photo(kitchen, job=UPLOAD | {"download_passwords": [{"env": "DOOR"}]})

    row = compiled_json(job)

    assert list(row) == ["address", "key", "payload", "uploads"]
    assert row["uploads"] == [{"path": "/srv/shop/in/a.jpg", "size": 7, "sha256": "a" * 64}]
    assert row["payload"]["download_passwords"] == [{"env": "DOOR"}]
