"""Settings of Celery.

They were measured with Celery and kombu 5.7.0, redis-py 8.1.0, redis-server 7.0.15 and valkey-server 9.1.2. The
reasons are in `docs/celery.md` of pb-deploy.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

from celery import Celery

#: Time to connect to the queue, and time to wait for one of its answers, in seconds. Without them, a connection to a
#: node that was replaced blocks its process for good. Both are shorter than the timeout of a load balancer's health check.
CONNECT_SECONDS = 2
ANSWER_SECONDS = 3


def settings(**own: Any) -> dict[str, Any]:
    """Returns the settings for every process. Those in `own` replace them; a dictionary in `own` is merged."""
    ours: dict[str, Any] = {
        "broker_transport_options": {"socket_timeout": ANSWER_SECONDS, "socket_connect_timeout": CONNECT_SECONDS},
        "redis_socket_timeout": ANSWER_SECONDS,
        "redis_socket_connect_timeout": CONNECT_SECONDS,
        # A worker that starts before the queue answers tries again.
        "broker_connection_retry_on_startup": True,
        # After a failover, the node at the other end refuses writes. Without this setting, the worker exits.
        "broker_channel_error_retry": True,
        # A worker that cannot store a result tries again. By default, it stores a task that succeeded as FAILURE.
        "result_backend_always_retry": True,
    }
    return _merged(ours, own)


def publisher_settings(**own: Any) -> dict[str, Any]:
    """Returns the settings that a process needs in addition if it answers requests and enqueues jobs: it gives up before
    the load balancer does. Those in `own` replace them; a dictionary in `own` is merged.
    """
    ours: dict[str, Any] = {
        # Each retry of a request to a queue that does not answer takes another timeout. Nothing is lost without
        # retries, because the client reconnects by itself.
        "task_publish_retry_policy": {"max_retries": 0},
        "result_backend_transport_options": {"retry_policy": {"max_retries": 1, "interval_start": 0.2}},
        "result_backend_always_retry": False,
    }
    return _merged(ours, own)


def configure(app: Celery, **own: Any) -> None:
    """Sets `settings(**own)` in an application, for every process.

    Settings of the application itself win, wherever and whenever they are set. A dictionary wins as a whole, so pass it
    in `own`, where it is merged. `own` is a setting of the application, too.
    """
    _when_configured(app, settings(**own), own, publisher=False)


def configure_publisher(app: Celery, **own: Any) -> None:
    """Sets `publisher_settings(**own)` in an application, in a process that answers requests.

    They win over those of `configure`, in any order, but not over those of the application itself.
    """
    _when_configured(app, publisher_settings(**own), own, publisher=True)


#: Settings of each application that `configure` has set and that `configure_publisher` may replace.
_for_every_process: WeakKeyDictionary[Celery, dict[str, Any]] = WeakKeyDictionary()


def _when_configured(app: Celery, ours: dict[str, Any], own: dict[str, Any], *, publisher: bool) -> None:
    """Sets `ours` once the application has loaded its configuration, which is not known before."""

    def apply(**_signal: Any) -> None:
        replaceable = _for_every_process.setdefault(app, {})
        # `Celery.add_defaults` would win over `config_from_object`.
        explicit = app.conf.without_defaults()
        for name, value in ours.items():
            is_replaced = publisher and name in replaceable and explicit[name] == replaceable[name]
            if name in own or name not in explicit or is_replaced:
                app.conf[name] = value
                if not publisher and name not in own:
                    replaceable[name] = value

    if app.configured:
        apply()
    else:
        app.on_after_configure.connect(apply, weak=False)


def _merged(ours: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """Returns `ours` with the values of `own`, dictionaries merged."""
    both = {name: {**ours[name], **own[name]} for name in own if isinstance(ours.get(name), dict)}
    return {**ours, **own, **both}
