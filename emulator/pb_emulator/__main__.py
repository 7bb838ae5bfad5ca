"""Command line: `python -m pb_emulator serve`."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path
from types import FrameType


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(prog="pb_emulator", description="A local AWS endpoint for deployments.")
    commands = parser.add_subparsers(dest="command", required=True)
    serve = commands.add_parser("serve", help="run the endpoint until interrupted")
    serve.add_argument("--host", default="127.0.0.1")
    serve.add_argument("--port", type=int, default=0, help="port; 0 for any free one")
    serve.add_argument("--latency-ms", type=float, default=0.0, help="delay of every API call")
    serve.add_argument("--pace", default="1", help="aws, aws:FACTOR, a factor for the default times, or a JSON file")
    serve.add_argument("--vpc-quota", type=int, default=5, help="VPCs and internet gateways per region; 0 for no limit")
    serve.add_argument("--cache-host", default="", help="address of a real server, returned for every cache node")
    serve.add_argument("--data-plane", action="store_true", help="serve the web tasks and listeners of all accounts")
    serve.add_argument("--ready-file", type=Path, help="write the URL to this file once requests are accepted")
    serve.add_argument("--record", type=Path, help="append every exchange to this file as JSON lines")
    return parser.parse_args(argv)


def publish(url: str, ready_file: Path | None) -> None:
    """Announces that requests are accepted: prints the URL, and writes the ready file atomically."""
    print(url, flush=True)
    if ready_file:
        partial = ready_file.with_name(f"{ready_file.name}.{os.getpid()}.tmp")
        partial.write_text(url + "\n", encoding="utf-8")
        partial.replace(ready_file)


def serve(options: argparse.Namespace) -> int:
    """Runs the server until SIGTERM or SIGINT."""
    os.environ.setdefault("MOTO_IAM_LOAD_MANAGED_POLICIES", "true")
    os.environ.setdefault("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")
    os.environ.setdefault("MOTO_ACM_VALIDATION_WAIT", "1")
    for name in ("MOTO_ACCOUNT_ID", "AWS_ENDPOINT_URL", "HTTP_PROXY", "HTTPS_PROXY"):
        os.environ.pop(name, None)
    from . import settings, timings
    from .request_log import Recorder
    from .server import Application, make_server

    timings.configure(timings.parse(options.pace))
    settings.vpc_quota = options.vpc_quota
    settings.cache_host = options.cache_host
    recorder = Recorder(options.record) if options.record else None
    server = make_server(options.host, options.port, Application(options.latency_ms / 1000, recorder, options.data_plane))

    def stop(_signal: int, _frame: FrameType | None) -> None:
        # Nothing needs to be saved. `server.stop()` would wait for all threads, and for connections that are kept alive.
        if recorder:
            recorder.close()
        os._exit(0)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    host, port = server.bind_addr[0], server.bind_addr[1]
    publish(f"http://{host}:{port}", options.ready_file)
    server.serve()
    return 0


if __name__ == "__main__":
    sys.exit(serve(arguments()))
