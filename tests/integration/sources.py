"""AWS API actions that the tool can call, extracted from its source code."""

from __future__ import annotations

import re
import tomllib

import botocore.session
from botocore import xform_name
from endpoint import ROOT

#: Names of the service models, by the name of the SDK crate, where the two differ.
MODEL_NAMES = {
    "elasticloadbalancingv2": "elbv2", "cloudwatchlogs": "logs", "applicationautoscaling": "application-autoscaling",
    "resourcegroupstagging": "resourcegroupstaggingapi", "servicequotas": "service-quotas",
}  # fmt: skip
METHOD_CALL = re.compile(r"\.([a-z0-9_]+)\(\)")


def callable_actions(called: set[str]) -> set[str]:
    """Returns the `service:Action` of each call in the source code. If several services that a crate uses have the same
    action (`tag_resource`), only the actions in `called` are returned, or all of them if none is in `called`."""
    actions: set[str] = set()
    session = botocore.session.get_session()
    for manifest in sorted((ROOT / "crates").glob("*/Cargo.toml")):
        dependencies = tomllib.loads(manifest.read_text(encoding="utf-8")).get("dependencies", {})
        names = [name.removeprefix("aws-sdk-") for name in dependencies if name.startswith("aws-sdk-")]
        models = [session.get_service_model(MODEL_NAMES.get(name, name)) for name in names]
        texts = [file.read_text(encoding="utf-8") for file in sorted((manifest.parent / "src").rglob("*.rs"))]
        method_names = {name for text in texts for name in METHOD_CALL.findall(text)}
        for name in method_names:
            candidates = {
                f"{model.signing_name}:{operation}"
                for model in models
                for operation in model.operation_names
                if xform_name(operation) == name
            }
            actions |= (candidates & called) or candidates
    return actions
