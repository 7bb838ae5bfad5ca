"""Command line: `python -m pb_localstack serve`. LocalStack reads its environment on import, so it is imported late."""

from __future__ import annotations

import argparse
import os
import socket
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

POLL_SECONDS = 0.1


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(prog="pb_localstack", description="Run LocalStack without Docker.")
    commands = parser.add_subparsers(dest="command", required=True)
    serve = commands.add_parser("serve", help="run LocalStack until interrupted")
    serve.add_argument("--host", default="127.0.0.1")
    serve.add_argument("--port", type=int, default=0, help="port; 0 for any free one")
    serve.add_argument("--folder", type=Path, help="folder for LocalStack's files (default: a temporary one)")
    serve.add_argument("--pace", default="1", help="timings, as for pb_emulator")
    serve.add_argument("--ready-file", type=Path, help="write the URL to this file once requests are accepted")
    return parser.parse_args(argv)


def free_port(host: str) -> int:
    """Returns a free port."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def environment(host: str, port: int, folder: Path) -> dict[str, str]:
    """Returns LocalStack's environment variables: it runs outside a container, in its own folder, without calls to the
    internet.
    """
    return {
        # Without this, LocalStack assumes that it runs in its container, and writes into system folders.
        "OVERRIDE_IN_DOCKER": "0",
        "FILESYSTEM_ROOT": str(folder),
        # LocalStack caches its list of plugins here.
        "XDG_CACHE_HOME": str(folder / "cache"),
        "GATEWAY_LISTEN": f"{host}:{port}",
        "DNS_ADDRESS": "0",
        "SKIP_SSL_CERT_DOWNLOAD": "1",
        "DISABLE_EVENTS": "1",
        # moto instead of LocalStack's own provider, which would download a Java program.
        "PROVIDER_OVERRIDE_DYNAMODB": "moto",
        "LS_LOG": "warning",
        "MOTO_ACM_VALIDATION_WAIT": "1",
        "MOTO_EC2_LOAD_DEFAULT_AMIS": "false",
    }


def publish_when_ready(url: str, ready_file: Path | None) -> None:
    """Waits until requests are accepted, then prints the URL and writes the ready file atomically."""
    while True:
        try:
            with urllib.request.urlopen(f"{url}/_localstack/health", timeout=5):
                break
        except (OSError, urllib.error.URLError):
            time.sleep(POLL_SECONDS)
    print(url, flush=True)
    if ready_file:
        partial = ready_file.with_name(f"{ready_file.name}.{os.getpid()}.tmp")
        partial.write_text(url + "\n", encoding="utf-8")
        partial.replace(ready_file)


def serve(options: argparse.Namespace) -> int:
    """Runs LocalStack until SIGTERM or SIGINT."""
    port = options.port or free_port(options.host)
    with tempfile.TemporaryDirectory(prefix="pb-localstack-") as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        os.environ.update(environment(options.host, port, folder))
        from localstack.runtime.main import main
        from pb_emulator import timings

        from . import plugin

        timings.configure(timings.parse(options.pace))
        plugin.install()
        url = f"http://{options.host}:{port}"
        threading.Thread(target=publish_when_ready, args=(url, options.ready_file), daemon=True).start()
        main()
    return 0


if __name__ == "__main__":
    sys.exit(serve(arguments()))
