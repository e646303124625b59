"""`runner doctor --policy`: no right more than a recipe needs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from runner.recipe.model import Bucket, Foreach, Recipe
from runner.report.policy import notes_of, policy_json, rights_of

S3_IN = {"type": "cloud", "source": "amazons3", "parameters": {"bucket": "shop-in", "file": "raw/{item.name}"}}
AZURE_OUT = {"type": "azure", "parameters": {"container": "web", "file": "a.webp"}}
GOOGLE_OUT = {"type": "googlecloud", "parameters": {"projectid": "p", "bucket": "b", "file": "/a b.webp"}}
FTP_OUT = {"type": "ftp", "parameters": {"host": "ftp.example.com", "file": "{run.date}/a.webp"}}


def recipe(*inputs: object, targets: tuple[object, ...] = ()) -> Recipe:
    job = {"input": list(inputs), "conversion": [{"target": "webp", "output_target": list(targets)}]}
    return Recipe(file=Path("/r/a.recipe.toml"), folder=Path("/r"), name="a", job=job)


def test_an_s3_input_needs_to_read_that_object_and_templates_are_open() -> None:
    policy = policy_json(rights_of([recipe(S3_IN)]))

    assert policy == {
        "amazons3": {
            "Version": "2012-10-17",
            "Statement": [
                {"Effect": "Allow", "Action": ["s3:GetObject"], "Resource": "arn:aws:s3:::shop-in/raw/*"},
            ],
        }
    }


def test_targets_need_to_write_each_in_the_form_of_its_provider() -> None:
    policy = policy_json(rights_of([recipe(targets=(AZURE_OUT, GOOGLE_OUT, FTP_OUT))]))

    assert policy["azure"] == [{"role": "Storage Blob Data Contributor", "container": "web", "blob": "a.webp"}]
    assert policy["googlecloud"] == [
        {"role": "roles/storage.objectViewer", "bucket": "b", "object": "/a b.webp"},
        {"role": "roles/storage.objectCreator", "bucket": "b", "object": "/a b.webp"},
    ]
    assert policy["ftp"][0]["file"] == "*/a.webp"
    assert "never overwrite" in policy["ftp"][0]["allow"]
    assert "delete what was just uploaded as .part" in policy["ftp"][0]["allow"]


def test_an_s3_target_may_see_its_own_names_and_nothing_else_may_be_read() -> None:
    rights = rights_of([recipe(targets=(S3_IN | {"type": "amazons3"},))])

    listing, statement = policy_json(rights)["amazons3"]["Statement"]
    assert statement["Action"] == ["s3:PutObject", "s3:GetObject", "s3:AbortMultipartUpload"]
    assert statement["Resource"] == "arn:aws:s3:::shop-in/raw/*"
    assert (listing["Action"], listing["Resource"]) == (["s3:ListBucket"], "arn:aws:s3:::shop-in")
    assert listing["Condition"] == {"StringLike": {"s3:prefix": "raw/*"}}
    assert ["know its own object again" in note for note in notes_of(rights)] == [True]


def test_constants_are_known_and_only_the_rest_is_open() -> None:
    varied = {"bucket": "{vars.bucket}", "file": "{recipe.name}/{item.dir}/x"}
    made = replace(recipe(S3_IN | {"parameters": varied}), vars={"bucket": "live"})

    (right,) = rights_of([made])

    assert (right.place, right.name) == ("live", "a/*/x")


def test_a_folder_to_write_into_is_open_and_nothing_beside_it() -> None:
    (right,) = rights_of([recipe(targets=(AZURE_OUT | {"parameters": {"container": "web", "file": "new/"}},))])

    assert right.name == "new/*"


def test_that_an_account_key_is_restricted_by_no_role_is_said() -> None:
    assert "every right in the whole storage account" in notes_of(rights_of([recipe(targets=(AZURE_OUT,))]))[0]
    assert notes_of(rights_of([recipe(S3_IN)])) == []


def test_a_right_that_several_recipes_need_is_named_once_and_uploads_need_none() -> None:
    assert len(rights_of([recipe(S3_IN), recipe(S3_IN)])) == 1
    assert rights_of([recipe({"type": "upload", "source": "a.jpg"})]) == ()


def test_a_listed_folder_needs_the_right_to_list_it_and_to_read_below_it() -> None:
    bucket = Bucket(source="amazons3", parameters={"bucket": "live", "prefix": "in/"}, credentials={})
    listed = recipe(S3_IN | {"parameters": {"bucket": "{vars.bucket}", "file": "{item.path}"}})
    made = replace(listed, vars={"bucket": "live"}, foreach=Foreach(kind="bucket", bucket=bucket))

    listing, reading = policy_json(rights_of([made]))["amazons3"]["Statement"]

    assert listing["Action"] == ["s3:ListBucket"]
    assert listing["Resource"] == "arn:aws:s3:::live"
    assert listing["Condition"] == {"StringLike": {"s3:prefix": "in/*"}}
    assert (reading["Action"], reading["Resource"]) == (["s3:GetObject"], "arn:aws:s3:::live/in/*")


def test_values_of_a_matrix_are_known_and_named() -> None:
    varied = {"bucket": "{item.bucket}", "file": "{item.bucket}/{item.width}/{run.date}.jpg"}
    matrix = {"bucket": ("live", "test"), "width": (100, 200)}
    made = replace(recipe(S3_IN | {"parameters": varied}), foreach=Foreach(kind="matrix", matrix=matrix))

    named = {(right.place, right.name) for right in rights_of([made])}
    many = replace(made, foreach=Foreach(kind="matrix", matrix={**matrix, "width": tuple(range(1000))}))

    assert named == {(bucket, f"{bucket}/{width}/*.jpg") for bucket in ("live", "test") for width in (100, 200)}
    assert {(right.place, right.name) for right in rights_of([many])} == {("*", "*/*/*.jpg")}
