"""`init --from` with values that do not fit: the file is written, and each place in Terraform's files is named."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from typing import Any

import pytest
from harness import Result, TestWorkspace


@pytest.fixture(scope="module")
def offline(new_workspace: Callable[[], TestWorkspace]) -> TestWorkspace:
    """Returns a workspace of which the tests use only the folder."""
    return new_workspace()


def init(offline: TestWorkspace, name: str, variables: str, *options: str) -> tuple[Result, dict[str, Any]]:
    """Writes a configuration from the variables, checks that it is valid, and returns the result and the file."""
    folder = offline.folder / name
    folder.mkdir()
    (folder / "terraform.tfvars").write_text(variables, encoding="utf-8")
    file = f"{name}.toml"
    result = offline.run("init", "--config", file, "--from", f"{name}/terraform.tfvars", *options).expect_exit()
    offline.run("validate", "--config", file).expect_exit()
    return result, tomllib.loads((offline.folder / file).read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("name", "block", "subnets"),
    [
        ("private", "172.16.0.0/16", ["172.16.1.0/24", "172.16.2.0/24"]),
        ("small", "10.20.30.0/25", ["10.20.30.32/27", "10.20.30.64/27"]),
    ],
)
def test_init_from_other_network_chooses_its_subnets(
    offline: TestWorkspace, name: str, block: str, subnets: list[str]
) -> None:
    result, config = init(offline, name, f'# network\ncidr_block = "{block}"\n')
    network = config["network"]
    assert [network["cidr"], network["tasks_subnet"], network["balancer_subnet"]] == [block, *subnets]
    assert f"Chose the subnets {subnets[0]} and {subnets[1]} inside the block {block}" in result.err, result
    assert f"cidr_block ({name}/terraform.tfvars:2)" in result.err


def test_init_from_takes_public_subnets(offline: TestWorkspace) -> None:
    text = 'vpc_cidr = "10.5.0.0/16"\npublic_subnets = ["10.5.10.0/24", "10.5.11.0/24", "10.5.12.0/24"]\n'
    result, config = init(offline, "public", text)
    assert config["network"]["tasks_subnet"] == "10.5.10.0/24"
    assert config["network"]["balancer_subnet"] == "10.5.11.0/24"
    assert "Chose the subnets" not in result.err and "Left out" not in result.err, result


def test_init_from_leaves_out_placeholders_and_invalid_values(offline: TestWorkspace) -> None:
    text = (
        'hosted_zone_id = "HOSTED_ZONE_ID"\nbucket = "<bucket>"\nexecution_role = ""\nlock_table = "your-lock-table"\n'
        'vpc_cidr = "10.0.0.0/8"\nflask_count = -1\nflask_tag = "web-7"\n'
    )
    result, config = init(offline, "template", text)
    place = "template/terraform.tfvars"
    for expected in (
        f"Left out: hosted_zone_id ({place}:1): it is a placeholder",
        f"Left out: bucket ({place}:2): it is a placeholder",
        f"Left out: execution_role ({place}:3): it is empty",
        f"Left out: lock_table ({place}:4): it is a placeholder",
        f"Left out: vpc_cidr ({place}:5): ",
        f"Left out: flask_count ({place}:6): ",
        "Set these before the first deploy: region, hostname, state.bucket, state.lock_table",
    ):
        assert expected in result.err, result
    assert "zone_id" not in config and config["services"]["flask"] == {"tag": "web-7"}


def test_init_from_lists_each_key_once_and_knows_secrets(offline: TestWorkspace) -> None:
    folder = offline.folder / "twice"
    folder.mkdir()
    backend = 'terraform {\n  backend "s3" {\n    region = "us-east-1"\n    bucket = "our-state"\n  }\n}\n'
    (folder / "main.tf").write_text(backend, encoding="utf-8")
    variables = 'aws_region = "us-west-2"\nredis_password = "not-for-files"\ndb_secret_key = var.key\nteam = "web"\n'
    (folder / "terraform.tfvars").write_text(variables, encoding="utf-8")
    arguments = ("init", "--config", "twice.toml", "--from", "twice/terraform.tfvars", "--json")
    document = offline.run(*arguments).expect_exit().json()
    assert document["taken"] == ["region", "state.bucket"]
    assert document["secrets"] == [{"name": "redis_password", "line": 2}, {"name": "db_secret_key", "line": 3}]
    assert document["left_out"] == [{"name": "team", "line": 4}] and document["invalid"] == []
    config = tomllib.loads((offline.folder / "twice.toml").read_text(encoding="utf-8"))
    assert config["region"] == "us-west-2"


def test_init_from_invalid_required_value_names_its_place(offline: TestWorkspace) -> None:
    (offline.folder / "bad.tfvars").write_text('# ours\nregion = "nowhere"\n', encoding="utf-8")
    command = ("init", "--config", "bad.toml", "--from", "bad.tfvars")
    refused = offline.run(*command).expect_exit(1)
    assert "bad.tfvars:2: region: " in refused.err and not (offline.folder / "bad.toml").exists(), refused
    offline.run(*command, "--region", "eu-west-1").expect_exit()
