"""Server of account inventories: reads one request per line in JSON and writes one response per line."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))

from endpoint import Aws  # noqa: E402
from inventory import AccountInventory, tags_of  # noqa: E402

#: Resource kinds whose resources appear and disappear with tasks and nodes.
TRANSIENT = {"interfaces"}


def inventory(aws: Aws, _: str) -> dict[str, Any]:
    """Returns the ids in the account by resource kind, and the resources with an ownership address."""
    everything = AccountInventory(aws).everything()
    owned = [
        (tags_of(resource)["pb-deploy:address"], identity)
        for kind, resources in everything.items()
        for identity, resource in (latest(resources) if kind == "task_definitions" else resources).items()
        if "pb-deploy:address" in tags_of(resource)
    ]
    return {
        "owned": sorted(owned),
        "all": {kind: sorted(resources) for kind, resources in everything.items() if kind not in TRANSIENT},
    }


def latest(revisions: dict[str, Any]) -> dict[str, Any]:
    """Returns the latest revision of each family. Earlier revisions, kept for rollbacks, have the same address."""
    numbered = sorted(revisions.items(), key=lambda item: int(item[0].rsplit(":", 1)[1]))
    return {name: resource for name, resource in {n.rsplit(":", 1)[0]: (n, t) for n, t in numbered}.values()}


def versions(aws: Aws, bucket: str) -> list[dict[str, Any]]:
    """Returns all versions of the only object in the bucket, the oldest first."""
    found = aws.all("s3", "list_object_versions", "Versions", Bucket=bucket)
    result = []
    for version in reversed(found):
        answer = aws.s3.get_object(Bucket=bucket, Key=version["Key"], VersionId=version["VersionId"])
        result.append({"etag": version["ETag"], "document": json.loads(answer["Body"].read())})
    return result


def main() -> None:
    """Responds to requests until the input ends."""
    clients: dict[tuple[str, str], Aws] = {}
    for line in sys.stdin:
        request = json.loads(line)
        key = (request["url"], request["account"])
        if key not in clients:
            clients.clear()
            clients[key] = Aws(*key)
        try:
            answer = {"inventory": inventory, "versions": versions}[request["query"]](clients[key], request["bucket"])
            print(json.dumps({"answer": answer}), flush=True)
        except Exception as error:  # noqa: BLE001 - the test must report any error
            print(json.dumps({"error": f"{type(error).__name__}: {error}"}), flush=True)


if __name__ == "__main__":
    main()
