"""Which actions of the AWS API the sources of the tool can call, read from them."""

from __future__ import annotations

import re
import tomllib

import botocore.session
from botocore import xform_name
from endpoint import ROOT

#: The models of the SDK's crates, where they have another name.
MODELS = {
    "elasticloadbalancingv2": "elbv2", "cloudwatchlogs": "logs", "applicationautoscaling": "application-autoscaling",
    "resourcegroupstagging": "resourcegroupstaggingapi", "servicequotas": "service-quotas",
}  # fmt: skip
CALL = re.compile(r"\.([a-z0-9_]+)\(\)")


def callable_actions(called: set[str]) -> set[str]:
    """`service:Action` of each call in the sources. One that several services of a crate have (`tag_resource`) is
    taken for those that were seen to be called, if there are any."""
    found: set[str] = set()
    session = botocore.session.get_session()
    for manifest in sorted((ROOT / "crates").glob("*/Cargo.toml")):
        needed = tomllib.loads(manifest.read_text(encoding="utf-8")).get("dependencies", {})
        names = [name.removeprefix("aws-sdk-") for name in needed if name.startswith("aws-sdk-")]
        models = [session.get_service_model(MODELS.get(name, name)) for name in names]
        texts = [file.read_text(encoding="utf-8") for file in sorted((manifest.parent / "src").rglob("*.rs"))]
        written = {name for text in texts for name in CALL.findall(text)}
        for name in written:
            fitting = {
                f"{model.signing_name}:{operation}"
                for model in models
                for operation in model.operation_names
                if xform_name(operation) == name
            }
            found |= (fitting & called) or fitting
    return found
