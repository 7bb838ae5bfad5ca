"""Rollouts that a lifecycle hook pauses: the run names the hook, and the printed command continues the rollout."""

from __future__ import annotations

from configuration import image
from harness import TestWorkspace, until
from printed_commands import Shell, commands
from test_rollouts import configure_flask, revision


def test_command_for_a_paused_rollout_continues_it(staging: TestWorkspace) -> None:
    before = revision(staging, "flask")
    hook = {"targetType": "PAUSE", "lifecycleStages": ["PRE_SCALE_UP"]}
    configuration = staging.inventory.services()["staging-flask"]["deploymentConfiguration"]
    staging.aws.ecs.update_service(
        cluster="staging-ecs-cluster", service="staging-flask",
        deploymentConfiguration={**configuration, "lifecycleHooks": [hook]},
    )  # fmt: skip
    configure_flask(staging, image=image("2"))
    run = staging.start("deploy", "staging", "--yes")
    until(lambda: "paused by a lifecycle hook at PRE_SCALE_UP" in run.output_so_far().err)
    assert revision(staging, "flask") != before
    (command,) = commands(run.output_so_far().err, "aws")
    assert command.split()[:3] == ["aws", "ecs", "continue-service-deployment"], command
    Shell(staging).run(command)
    run.result().expect_exit()
    staging.assert_no_changes()
