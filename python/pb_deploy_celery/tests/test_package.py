"""Tests without a queue: precedence of settings, addresses, and the guard."""

from __future__ import annotations

import sys
import types
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from celery import Celery
from kombu.exceptions import OperationalError
from pb_deploy_celery import (
    PUBLISH_ERRORS,
    QueueGuard,
    QueueNotConfigured,
    QueueUnavailable,
    configure,
    configure_publisher,
    connection_urls,
    settings,
)
from redis.exceptions import TimeoutError as RedisTimeout

TIMEOUTS = {"socket_timeout": 3, "socket_connect_timeout": 2}


class SettingsTest(unittest.TestCase):
    def test_configure_sets_timeouts_and_retries(self) -> None:
        app = Celery("a")
        configure(app)
        self.assertEqual(app.conf.broker_transport_options, TIMEOUTS)
        self.assertEqual((app.conf.redis_socket_timeout, app.conf.redis_socket_connect_timeout), (3, 2))
        self.assertIs(app.conf.broker_channel_error_retry, True)
        self.assertIs(app.conf.result_backend_always_retry, True)
        self.assertIs(app.conf.task_acks_late, False, "whether a job may run twice is the application's decision")

    def test_settings_of_the_application_win_in_any_order(self) -> None:
        before, after, module = Celery("before"), Celery("after"), Celery("module")
        before.conf.redis_socket_timeout = 9
        configure(before)
        configure(after)
        after.conf.update(redis_socket_timeout=9)
        configure(module)
        module.config_from_object(types.SimpleNamespace(redis_socket_timeout=9))
        for app in (before, after, module):
            self.assertEqual((app.conf.redis_socket_timeout, app.conf.redis_socket_connect_timeout), (9, 2), app)

    def test_dictionary_that_is_passed_is_merged(self) -> None:
        app = Celery("a")
        configure(app, broker_transport_options={"visibility_timeout": 7200}, redis_socket_timeout=4)
        self.assertEqual(app.conf.broker_transport_options, {**TIMEOUTS, "visibility_timeout": 7200})
        self.assertEqual(app.conf.redis_socket_timeout, 4)
        self.assertEqual(settings()["broker_transport_options"], TIMEOUTS, "the defaults are not changed")

    def test_publisher_wins_over_configure_in_any_order(self) -> None:
        for order in ((configure, configure_publisher), (configure_publisher, configure)):
            app = Celery("a")
            for call in order:
                call(app)
            self.assertEqual(app.conf.task_publish_retry_policy, {"max_retries": 0})
            self.assertIs(app.conf.result_backend_always_retry, False, order)
            self.assertEqual(app.conf.broker_transport_options, TIMEOUTS)


class UrlsTest(unittest.TestCase):
    def test_addresses_come_from_the_environment(self) -> None:
        variables = {"CELERY_BROKER_URL": "redis://q:6400/0", "CELERY_RESULT_BACKEND": "redis://q:6400/1"}
        self.assertEqual(connection_urls(variables), {"broker": "redis://q:6400/0", "backend": "redis://q:6400/1"})

    def test_tls_requires_a_certificate_in_both_addresses(self) -> None:
        variables = {
            "CELERY_BROKER_URL": "rediss://:p%23w@q:6400/0",
            "CELERY_RESULT_BACKEND": "rediss://:p%23w@q:6400/0?ssl_cert_reqs=CERT_REQUIRED",
        }
        urls = connection_urls(variables)
        self.assertEqual(urls["broker"], "rediss://:p%23w@q:6400/0?ssl_cert_reqs=required")
        self.assertEqual(urls["backend"], "rediss://:p%23w@q:6400/0?ssl_cert_reqs=CERT_REQUIRED")
        self.assertEqual(variables["CELERY_BROKER_URL"], urls["broker"], "Celery reads the variable first")

    def test_address_that_cannot_work_is_refused_and_not_shown(self) -> None:
        for url in ("", "valkey://:hunter2@q:6400/0", "redis://:hunter2@q:6400/0?socket_timeout=3"):
            with self.assertRaises(QueueNotConfigured) as caught:
                connection_urls({"CELERY_BROKER_URL": url, "CELERY_RESULT_BACKEND": "redis://q:6400/0"})
            self.assertIn("CELERY_BROKER_URL", str(caught.exception))
            self.assertNotIn("hunter2", str(caught.exception))


class GuardTest(unittest.TestCase):
    def test_failure_of_the_queue_closes_the_guard_for_a_while(self) -> None:
        for error in (OperationalError("no"), RuntimeError("no"), RedisTimeout("no")):
            guard = QueueGuard(pause_seconds=60)
            with self.assertRaises(QueueUnavailable) as caught, guard:
                raise error
            self.assertEqual((caught.exception.retry_after, caught.exception.__cause__), (60, error))
            with self.assertRaises(QueueUnavailable) as caught, guard:
                self.fail("the block runs")
            self.assertLessEqual(caught.exception.retry_after, 60)

    def test_other_errors_pass_and_the_guard_opens_again(self) -> None:
        guard = QueueGuard(pause_seconds=0)
        with self.assertRaises(KeyError), guard:
            raise KeyError("x")
        with self.assertRaises(QueueUnavailable), guard:
            raise PUBLISH_ERRORS[0]("no")
        with guard:
            pass


if __name__ == "__main__":
    unittest.main()
