"""Each command of another program in the messages of the sources is run by a test, or listed here with the reason why
it is not. The commands of the tool itself are parsed by a unit test (`orchestrator/src/cli/printed_commands.rs`).
"""

from __future__ import annotations

import re
from pathlib import Path

from endpoint import ROOT

TESTS = ROOT / "tests" / "integration"
_BLOCKERS = "test_aws_commands.py::test_commands_for_blockers_unblock_a_destroy"
_PUSH = "test_push_commands.py::test_printed_commands_push_the_images_of_the_example"

#: The test that runs a command, as a message prints it, by the command's first words.
RUN = {
    "aws configure export-credentials":
        "test_exported_credentials.py::test_exported_credentials_of_a_long_session_work",
    "aws dynamodb delete-item": "test_terraform_digest.py::test_digest_left_by_use_lockfile_is_only_a_warning",
    "aws ec2 delete-egress-only-internet-gateway": _BLOCKERS,
    "aws ec2 delete-network-acl": _BLOCKERS,
    "aws ec2 delete-network-interface": _BLOCKERS,
    "aws ec2 delete-route-table": _BLOCKERS,
    "aws ec2 delete-security-group": _BLOCKERS,
    "aws ec2 delete-subnet": _BLOCKERS,
    "aws ec2 delete-vpc-endpoints": _BLOCKERS,
    "aws ec2 delete-vpc-peering-connection": _BLOCKERS,
    "aws ec2 detach-internet-gateway": "test_aws_commands.py::test_command_for_another_gateway_unblocks_a_destroy",
    "aws ec2 detach-vpn-gateway": _BLOCKERS,
    "aws ec2 revoke-security-group-": _BLOCKERS,
    "aws ecr get-login-password": _PUSH,
    "aws ecs delete-service": "test_foreign_services.py::test_foreign_service_refuses_a_destroy_until_deleted",
    "aws ecr update-image-storage-class": "test_service_models.py::test_archived_image_is_named_with_the_remedy",
    "aws ecs continue-service-deployment": "test_paused_rollouts.py::test_command_for_a_paused_rollout_continues_it",
    "aws iam delete-role": "test_roles.py::test_bootstrap_creates_the_task_role_of_a_deploy",
    "aws iam delete-role-policy": "test_roles.py::test_bootstrap_creates_the_task_role_of_a_deploy",
    "aws iam put-role-policy": "test_roles.py::test_shell_without_permission_refuses_the_plan",
    "aws iam create-service-linked-role": "test_aws_commands.py::test_command_for_a_service_linked_role_creates_it",
    "aws logs put-log-group-deletion-protection":
        "test_aws_commands.py::test_command_for_a_protected_log_group_unblocks_a_destroy",
    "aws route53 change-resource-record-sets": "test_hostname.py::run_printed_command",
    "aws route53 delete-resource-record-set-protections": "test_hostname.py::run_printed_command",
    "aws route53 delete-traffic-policy-instance": "test_hostname.py::run_printed_command",
    "aws s3api get-bucket-encryption": "test_service_roles.py::test_unusable_key_of_state_bucket_is_named",
    "aws secretsmanager describe-secret": "test_aws_commands.py::test_command_for_an_incomplete_secret_prints_its_arn",
    "aws service-quotas request-service-quota-increase":
        "test_aws_commands.py::test_command_for_a_quota_allows_the_deploy",
    "aws sts decode-authorization-message":
        "test_aws_commands.py::test_command_for_an_encoded_denial_prints_details",
    "docker build": _PUSH,
    "docker images": "test_push_commands.py::test_command_for_a_digest_prints_one_that_is_accepted",
    "docker login": _PUSH,
    "docker push": _PUSH,
    "terraform force-unlock": "test_printed_terraform.py::test_lock_of_a_dead_process_is_removed",
    "terraform show": "test_printed_terraform.py::test_output_of_show_is_named",
    "terraform state list": "test_printed_terraform.py::test_states_of_other_workspaces_are_listed",
    "terraform state pull": "test_printed_terraform.py::test_state_is_pulled_and_its_resources_removed",
    "terraform state rm": "test_printed_terraform.py::test_state_is_pulled_and_its_resources_removed",
    "terraform workspace": "test_printed_terraform.py::test_states_of_other_workspaces_are_listed",
}  # fmt: skip

#: Commands that no test runs, each with the reason.
NOT_RUN = {
    "aws configure sso": "it asks questions",
    "aws sso login": "it opens a browser",
    "terraform apply": "the message says what it would do",
    "terraform destroy": "the message says what it would do",
}

_COMMAND = re.compile(
    r"(?<![\w./-])(aws [a-z0-9-]+ [a-z][a-z0-9-]+|docker [a-z]+|curl -?[a-z]+|cargo [a-z]+|"
    r"terraform (?:state [a-z]+|[a-z][a-z-]+))"
)
_LITERAL = re.compile(r'"((?:[^"\\]|\\.)*)"')
_UNIT_TESTS = re.compile(r"^#\[cfg\(test\)\]\n(?:#.*\n)*mod \w+ \{", re.M)


def string_literals(file: Path) -> list[str]:
    """Returns the string literals of a source file, without comments and unit tests, each in one line."""
    code = _UNIT_TESTS.split(file.read_text(encoding="utf-8"))[0]
    lines = [line for line in code.splitlines() if not line.lstrip().startswith("//")]
    return _LITERAL.findall(re.sub(r"\\\n\s*", "", "\n".join(lines)))


def printed_commands() -> dict[str, str]:
    """Returns the first words of all commands in the messages of the sources, each with a file that contains it."""
    found: dict[str, str] = {}
    for file in sorted(ROOT.glob("crates/*/src/**/*.rs")):
        if file.stem in ("tests", "testing", "fake") or "tests" in file.parts:
            continue
        for literal in string_literals(file):
            found.update(dict.fromkeys(_COMMAND.findall(literal), str(file.relative_to(ROOT))))
    return found


def test_each_printed_command_is_run_by_a_test() -> None:
    found = printed_commands()
    unknown = {command: file for command, file in found.items() if command not in RUN and command not in NOT_RUN}
    assert unknown == {}, "add a test that takes the command from the message and runs it, and name the test in RUN"
    assert len(found) > 20, "commands are found in the sources"


def test_tests_of_printed_commands_exist() -> None:
    for test in RUN.values():
        file, name = test.split("::")
        text = (TESTS / file).read_text(encoding="utf-8")
        assert f"def {name}(" in text and "Shell(" in text, test
    assert not RUN.keys() & NOT_RUN.keys()
