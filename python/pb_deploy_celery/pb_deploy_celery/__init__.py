"""Celery settings with which web processes and workers survive an outage and a failover of their queue."""

from pb_deploy_celery.guard import PUBLISH_ERRORS, QUEUE_ERRORS, QueueGuard, QueueUnavailable
from pb_deploy_celery.settings import configure, configure_publisher, publisher_settings, settings
from pb_deploy_celery.urls import ConnectionUrls, QueueNotConfigured, connection_urls

__all__ = [
    "PUBLISH_ERRORS",
    "QUEUE_ERRORS",
    "ConnectionUrls",
    "QueueGuard",
    "QueueNotConfigured",
    "QueueUnavailable",
    "configure",
    "configure_publisher",
    "connection_urls",
    "publisher_settings",
    "settings",
]
