"""A small AWS CLI: validates a command against botocore's service models and sends the request.

It has the rules of the AWS CLI that matter for printed commands: operations and options are named as in the models,
with hyphens; booleans are `--x` or `--no-x`; lists are separated by spaces; structures are JSON or `Key=value,Key=value`; a
service in a region needs a region. It has the customizations `ecr get-login-password`, `s3 mb` and, as version 2 of
the CLI, `configure export-credentials`.
"""

from __future__ import annotations

import base64
import json
import sys
from typing import Any, NoReturn

import botocore.session
from botocore import xform_name
from botocore.exceptions import BotoCoreError, ClientError, NoRegionError

GLOBAL_OPTIONS = ("region", "profile", "endpoint-url")
#: Services without regions.
GLOBAL_SERVICES = ("iam", "route53")
#: Names of services that differ between the CLI and the models.
SERVICES = {"s3api": "s3"}


def fail(message: str, code: int = 252) -> NoReturn:
    """Ends with a message; 252 is the CLI's exit code for an invalid command."""
    print(f"aws: error: {message}", file=sys.stderr)
    sys.exit(code)


def hyphens(name: str) -> str:
    """Returns the CLI's spelling of a name of the models."""
    return xform_name(name, "-")


def options(words: list[str]) -> dict[str, list[str]]:
    """Returns the values of each option."""
    found: dict[str, list[str]] = {}
    name = None
    for word in words:
        if word.startswith("--"):
            name, _, value = word[2:].partition("=")
            if name in found:
                fail(f"option given twice: --{name}")
            found[name] = [value] if value else []
        elif name is None:
            fail(f"unknown word: {word}")
        else:
            found[name].append(word)
    return found


def converted(shape: Any, values: list[str]) -> Any:
    """Returns the value of an option for a shape of the models."""
    if shape.type_name == "list":
        if len(values) == 1 and values[0].startswith("["):
            return json.loads(values[0])
        return [converted(shape.member, [value]) for value in values]
    if len(values) != 1:
        fail(f"expected one value, got {values}")
    (value,) = values
    if shape.type_name in ("structure", "map"):
        if value.startswith("{"):
            return json.loads(value)
        pairs = dict(pair.split("=", 1) for pair in value.split(","))
        unknown = [key for key in pairs if shape.type_name == "structure" and key not in shape.members]
        if unknown:
            fail(f"unknown keys {unknown}; valid: {sorted(shape.members)}")
        return {key: converted(shape.members[key] if shape.type_name == "structure" else shape.value, [text])
                for key, text in pairs.items()}  # fmt: skip
    convert: dict[str, Any] = {"integer": int, "long": int, "float": float, "double": float}
    return convert.get(shape.type_name, str)(value)


def parameters(operation: Any, given: dict[str, list[str]]) -> dict[str, Any]:
    """Returns the parameters of an operation; fails for an option that it does not have, and for a missing one."""
    members = {hyphens(name): (name, shape) for name, shape in operation.input_shape.members.items()}
    result: dict[str, Any] = {}
    for option, values in given.items():
        positive = option.removeprefix("no-")
        if option in members and members[option][1].type_name == "boolean" and not values:
            result[members[option][0]] = True
        elif positive != option and positive in members and members[positive][1].type_name == "boolean" and not values:
            result[members[positive][0]] = False
        elif option in members:
            name, shape = members[option]
            result[name] = converted(shape, values)
        else:
            fail(f"Unknown options: --{option}")
    missing = [hyphens(name) for name in operation.input_shape.required_members if name not in result]
    if missing:
        fail(f"the following arguments are required: {', '.join('--' + name for name in missing)}")
    return result


def export_credentials(given: dict[str, list[str]]) -> None:
    """Prints the credentials of the selected profile, in the default format `process` or as lines for a shell."""
    (profile,), (form,) = given.pop("profile", [None]), given.pop("format", ["process"])
    if given or form not in ("process", "env"):
        fail(f"invalid options: --format {form} {sorted(given)}")
    credentials = botocore.session.Session(profile=profile).get_credentials()
    if credentials is None:
        fail("Unable to retrieve credentials: no credentials found", 253)
    frozen = credentials.get_frozen_credentials()
    if form == "process":
        names = {"AccessKeyId": frozen.access_key, "SecretAccessKey": frozen.secret_key, "SessionToken": frozen.token}
        print(json.dumps({"Version": 1, **{name: value for name, value in names.items() if value}}))
        return
    names = {"ACCESS_KEY_ID": frozen.access_key, "SECRET_ACCESS_KEY": frozen.secret_key, "SESSION_TOKEN": frozen.token}
    for name, value in names.items():
        if value:
            print(f"export AWS_{name}={value}")


def main(words: list[str]) -> None:
    """Runs one command."""
    if len(words) < 2:
        fail("expected a service and an operation")
    service, name, *rest = words
    bucket = rest.pop(0) if (service, name) == ("s3", "mb") else ""
    given = options(rest)
    if (service, name) == ("configure", "export-credentials"):
        return export_credentials(given)
    chosen = {option: given.pop(option) for option in GLOBAL_OPTIONS if option in given}
    session = botocore.session.Session(profile=chosen["profile"][0] if "profile" in chosen else None)
    model = SERVICES.get(service, service)
    if model not in session.get_available_services():
        fail(f"Invalid choice: {service}")
    region = "us-east-1" if model in GLOBAL_SERVICES else None
    client = session.create_client(
        model,
        region_name=chosen["region"][0] if "region" in chosen else region,
        endpoint_url=chosen["endpoint-url"][0] if "endpoint-url" in chosen else None,
    )
    if bucket:
        place = {"CreateBucketConfiguration": {"LocationConstraint": client.meta.region_name}}
        client.create_bucket(Bucket=bucket.removeprefix("s3://"), **place)
    elif (service, name) == ("ecr", "get-login-password"):
        if given:
            fail(f"Unknown options: {sorted(given)}")
        token = client.get_authorization_token()["authorizationData"][0]["authorizationToken"]
        print(base64.b64decode(token).decode().split(":", 1)[1])
    else:
        operations = {hyphens(operation): operation for operation in client.meta.service_model.operation_names}
        if service == "s3" or name not in operations:
            fail(f"Invalid choice: {service} {name}")
        operation = client.meta.service_model.operation_model(operations[name])
        call = getattr(client, xform_name(operation.name))
        answer = call(**parameters(operation, given))
        answer.pop("ResponseMetadata", None)
        print(json.dumps(answer, default=str))


try:
    main(sys.argv[1:])
except NoRegionError:
    fail("You must specify a region.", 253)
except (BotoCoreError, ClientError) as error:
    fail(str(error), 254)
