//! Known symptoms of failed tasks: lines in their logs, exit codes, and failed health checks, each with its cause.
//!
//! Only symptoms with a certain cause are listed. (Celery and kombu 5.7.0, redis-py 8.1.0, measured: docs/celery.md)

use aws_sdk_ecs::primitives::DateTime;
use aws_sdk_ecs::types::{Task, TaskStopCode};
use pb_rules::health_checks::FailedCheck;
use std::time::Duration;

/// Exit code of a process that SIGTERM has ended.
const ENDED_BY_SIGTERM: i32 = 143;

/// Known symptom of a failed task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Symptom {
    /// The queue refused a write because its memory is used up.
    QueueMemoryUsedUp,
    /// The certificate of the queue, or of another server, is not trusted.
    CertificateRefused,
    /// The queue does not accept the password, the user name, or a connection without them.
    QueuePasswordRefused,
    /// A host name, such as that of the queue, does not exist.
    HostUnknown,
    /// A worker cannot connect to the queue.
    QueueUnreachable,
    /// The image has `redis` without the package that Celery's Redis transport needs.
    PackagingMissing,
    /// The queue does not know a command of Celery's workers.
    QueueTooOld,
    /// SIGTERM ended the container at once.
    EndedBySignal,
    /// The load balancer's health checks fail.
    HealthCheck(FailedCheck),
}

/// Text in a log line for each symptom. If several match, the more specific one comes first.
const SIGNATURES: [(&str, Symptom); 11] = [
    ("command not allowed when used memory", Symptom::QueueMemoryUsedUp),
    ("CERTIFICATE_VERIFY_FAILED", Symptom::CertificateRefused),
    ("invalid username-password pair", Symptom::QueuePasswordRefused),
    ("Authentication required..", Symptom::QueuePasswordRefused),
    ("WRONGPASS ", Symptom::QueuePasswordRefused),
    ("NOAUTH ", Symptom::QueuePasswordRefused),
    ("Name or service not known", Symptom::HostUnknown),
    ("Temporary failure in name resolution", Symptom::HostUnknown),
    ("No module named 'packaging'", Symptom::PackagingMissing),
    ("value is not an integer or out of range", Symptom::QueueTooOld),
    ("Cannot connect to redis", Symptom::QueueUnreachable),
];

impl Symptom {
    /// Returns the stable name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::QueueMemoryUsedUp => "queue_memory_used_up",
            Self::CertificateRefused => "certificate_refused",
            Self::QueuePasswordRefused => "queue_password_refused",
            Self::HostUnknown => "host_unknown",
            Self::QueueUnreachable => "queue_unreachable",
            Self::PackagingMissing => "packaging_missing",
            Self::QueueTooOld => "queue_too_old",
            Self::EndedBySignal => "ended_by_signal",
            Self::HealthCheck(FailedCheck::PermanentRedirect) => "health_check_redirected",
            Self::HealthCheck(FailedCheck::NotFound) => "health_check_not_found",
            Self::HealthCheck(FailedCheck::BadRequest) => "health_check_refused",
        }
    }

    /// Returns the cause and the remedy.
    pub(crate) fn hint(self) -> &'static str {
        match self {
            Self::QueueMemoryUsedUp => {
                "the memory of the queue is used up, and it accepts no more writes: choose a larger `redis.node_type`, or \
                 remove messages from the queue"
            }
            Self::CertificateRefused => {
                "the certificate of the server is not trusted: install `ca-certificates` in the image, and use the host \
                 name of the queue instead of an address"
            }
            Self::QueuePasswordRefused => {
                "the queue refuses the user name or the password: check the secret from which the task gets them, and \
                 restart the tasks when it is correct, because they read it only when they start"
            }
            Self::HostUnknown => {
                "a host name does not exist: compare the host name in the log line with the address of the queue"
            }
            Self::QueueUnreachable => {
                "the worker cannot connect to the queue; the log line names the reason after the address of the queue"
            }
            Self::PackagingMissing => "install `celery[redis]` in the image; it includes `packaging`",
            Self::QueueTooOld => "if the queue is Redis before 6.2, Celery's workers exit with this error: upgrade it",
            Self::EndedBySignal => {
                "SIGTERM ended a container at once (exit code 143): a shell or a program that does not handle it; start \
                 the program without a shell, or with `exec`"
            }
            Self::HealthCheck(check) => check.hint(),
        }
    }
}

impl Symptom {
    /// Returns the time for which a running task has to show the symptom until it counts as permanent; `None` if the task
    /// ends by itself. Celery tries to connect at 0, 2, 6, 12, 20 and 30 s. An address that does not answer may be that of
    /// a queue whose node is being replaced, which takes some minutes.
    pub(crate) fn is_permanent_after(self) -> Option<Duration> {
        match self {
            Self::QueuePasswordRefused | Self::CertificateRefused => Some(Duration::from_secs(30)),
            Self::HostUnknown | Self::QueueUnreachable => Some(Duration::from_secs(5 * 60)),
            _ => None,
        }
    }
}

/// Returns the most specific symptom in the log lines, and the latest line that shows it.
pub(crate) fn first_line(log: &[String]) -> Option<(Symptom, &str)> {
    SIGNATURES.iter().find_map(|(text, symptom)| {
        log.iter().rev().find(|line| line.contains(text)).map(|line| (*symptom, line.as_str()))
    })
}

/// Returns the symptoms in the log lines and events of a rollout and in its stopped tasks, each once.
pub(crate) fn symptoms(tasks: &[Task], events: &[String], log: &[String]) -> Vec<Symptom> {
    let signatures = SIGNATURES.iter().filter(|(text, _)| log.iter().any(|line| line.contains(text)));
    let checks = events.iter().filter_map(|event| FailedCheck::find(event)).map(Symptom::HealthCheck);
    let ended = tasks.iter().any(is_ended_by_signal).then_some(Symptom::EndedBySignal);
    let mut found: Vec<Symptom> = Vec::new();
    for symptom in signatures.map(|(_, symptom)| *symptom).chain(checks).chain(ended) {
        if !found.contains(&symptom) {
            found.push(symptom);
        }
    }
    found
}

/// Returns the hints of all symptoms in one line; `None` if there are none.
pub(crate) fn hint(symptoms: &[Symptom]) -> Option<String> {
    let hints: Vec<&str> = symptoms.iter().map(|symptom| symptom.hint()).collect();
    (!hints.is_empty()).then(|| hints.join("; "))
}

/// Returns whether ECS stopped a task and SIGTERM ended its container within a second. Gunicorn and Celery end with 0.
fn is_ended_by_signal(task: &Task) -> bool {
    let millis = |time: Option<&DateTime>| time.and_then(|time| time.to_millis().ok());
    let stopped_by_ecs = task.stop_code().is_some_and(|code| *code != TaskStopCode::EssentialContainerExited);
    let took = millis(task.execution_stopped_at()).zip(millis(task.stopping_at())).map(|(end, begin)| end - begin);
    stopped_by_ecs
        && took.is_some_and(|took| (0..=1000).contains(&took))
        && task.containers().iter().any(|container| container.exit_code() == Some(ENDED_BY_SIGTERM))
}

#[cfg(test)]
mod tests {
    use super::{Symptom, hint, symptoms};
    use aws_sdk_ecs::primitives::DateTime;
    use aws_sdk_ecs::types::{Container, Task, TaskStopCode};
    use pb_rules::health_checks::FailedCheck;

    #[test]
    fn log_lines_show_their_symptoms() {
        let oom = "redis.exceptions.OutOfMemoryError: command not allowed when used memory > 'maxmemory'.";
        let piped = "OperationalError: Command # 1 (LLEN celery) of pipeline caused error: command not allowed when used \
                     memory > 'maxmemory'.";
        let tls = "[ERROR] consumer: Cannot connect to rediss://:**@q:6400/0: [SSL: CERTIFICATE_VERIFY_FAILED] failed";
        for (line, expected) in [
            (oom, &[Symptom::QueueMemoryUsedUp][..]),
            (piped, &[Symptom::QueueMemoryUsedUp]),
            (tls, &[Symptom::CertificateRefused, Symptom::QueueUnreachable]),
            ("consumer: Cannot connect to redis://q:6400/0: Error 111.", &[Symptom::QueueUnreachable]),
            (
                "Cannot connect to redis://:**@q:6400/0: invalid username-password pair or user is disabled..",
                &[Symptom::QueuePasswordRefused, Symptom::QueueUnreachable],
            ),
            (
                "Cannot connect to redis://:**@q:6400/0: Authentication required..",
                &[Symptom::QueuePasswordRefused, Symptom::QueueUnreachable],
            ),
            (
                "Cannot connect to redis://:**@q:6400/0: Error -2 connecting to q:6400. Name or service not known..",
                &[Symptom::HostUnknown, Symptom::QueueUnreachable],
            ),
            ("ModuleNotFoundError: No module named 'packaging'", &[Symptom::PackagingMissing]),
            ("redis.exceptions.ResponseError: value is not an integer or out of range", &[Symptom::QueueTooOld]),
            ("OutOfMemoryError: Container killed due to memory usage", &[]),
            ("ModuleNotFoundError: No module named 'packaging_tools'", &[]),
        ] {
            assert_eq!(symptoms(&[], &[], &[line.to_owned(), line.to_owned()]), expected, "{line}");
        }
        let text = hint(&[Symptom::CertificateRefused, Symptom::QueueUnreachable]).unwrap();
        assert!(text.contains("ca-certificates") && text.contains("; the worker cannot connect"), "{text}");
        assert_eq!(hint(&[]), None);
    }

    #[test]
    fn events_show_the_status_of_failed_health_checks() {
        let event = "(port 5050) is unhealthy in web due to (reason Health checks failed with these codes: [308])";
        let found = symptoms(&[], &[event.to_owned()], &[]);
        assert_eq!(found, [Symptom::HealthCheck(FailedCheck::PermanentRedirect)]);
        assert_eq!(
            (found[0].name(), hint(&found).unwrap().contains("with the slash")),
            ("health_check_redirected", true)
        );
    }

    #[test]
    fn container_that_a_signal_ends_at_once_is_a_symptom() {
        let task = |code, stop: TaskStopCode, millis: i64| {
            Task::builder()
                .stop_code(stop)
                .stopping_at(DateTime::from_millis(10_000))
                .execution_stopped_at(DateTime::from_millis(10_000 + millis))
                .containers(Container::builder().exit_code(code).build())
                .build()
        };
        let found = |task: Task| symptoms(&[task], &[], &[]);
        let stopped = || TaskStopCode::ServiceSchedulerInitiated;
        assert_eq!(found(task(143, stopped(), 400)), [Symptom::EndedBySignal]);
        assert_eq!(found(task(143, stopped(), 5_000)), [], "the program took its time");
        assert_eq!(found(task(0, stopped(), 400)), []);
        assert_eq!(found(task(143, TaskStopCode::EssentialContainerExited, 400)), [], "it ended by itself");
    }
}
