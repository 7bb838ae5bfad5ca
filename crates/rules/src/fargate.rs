//! Sizes and settings of Fargate tasks and ECS services.

use crate::text::{begins, between, length, only};
use crate::{Verdict, Violation};

/// CPU units of a task, and the range and step of its memory in MiB.
struct Size {
    cpu: i64,
    from: i64,
    to: i64,
    step: i64,
}

const fn sizes(cpu: i64, from: i64, to: i64, step: i64) -> Size {
    Size { cpu, from, to, step }
}

/// Task sizes of Fargate. The smallest size has 512, 1024 or 2048 MiB, but not 1536: see `memory_sizes`. (ECS developer
/// guide: Task CPU and memory)
const SIZES: [Size; 7] = [
    sizes(256, 512, 2048, 512),
    sizes(512, 1024, 4096, 1024),
    sizes(1024, 2048, 8192, 1024),
    sizes(2048, 4096, 16384, 1024),
    sizes(4096, 8192, 30720, 1024),
    sizes(8192, 16384, 61440, 4096),
    sizes(16384, 32768, 122_880, 8192),
];

/// Ids of zones that are unsuitable for tasks: Fargate is not offered in the first two, and the last one gets new node
/// types and sizes late or never. A zone id means the same zone in every account; a zone name (`us-east-1e`) does not.
/// (ECS developer guide: Supported Regions for Amazon ECS on AWS Fargate)
const UNSUITABLE_ZONES: [&str; 3] = ["usw1-az2", "apne1-az3", "use1-az3"];

/// Checks that tasks can run in a zone, given by its id, such as `use2-az1`.
pub fn zone_id(id: &str) -> Verdict {
    if UNSUITABLE_ZONES.contains(&id) {
        return Err(Violation::new(format!("Fargate is not offered in the zone {id}")));
    }
    Ok(())
}

fn memory_sizes(size: &Size) -> impl Iterator<Item = i64> {
    let steps = (size.to - size.from) / size.step;
    let (cpu, from, step) = (size.cpu, size.from, size.step);
    (0..=steps).map(move |index| from + index * step).filter(move |memory| cpu != 256 || *memory != 1536)
}

/// Checks the CPU units of a task. (ECS developer guide: Task CPU and memory)
pub fn cpu(units: i64) -> Verdict {
    if SIZES.iter().any(|size| size.cpu == units) {
        return Ok(());
    }
    let known = SIZES.map(|size| size.cpu.to_string()).join(", ");
    let nearest = SIZES.iter().map(|size| size.cpu).min_by_key(|cpu| cpu.abs_diff(units));
    let violation = Violation::new(format!("Fargate does not offer {units} CPU units; valid: {known}"));
    Err(violation.with_suggestion(nearest.unwrap_or_default()))
}

/// Checks the memory, in MiB, of a task with these CPU units. (ECS developer guide: Task CPU and memory)
pub fn task_size(cpu_units: i64, memory: i64) -> Verdict {
    cpu(cpu_units)?;
    let Some(size) = SIZES.iter().find(|size| size.cpu == cpu_units) else {
        return Ok(());
    };
    if memory_sizes(size).any(|known| known == memory) {
        return Ok(());
    }
    let range = match size.cpu {
        256 => "512, 1024 or 2048 MiB".to_owned(),
        _ => format!("{} to {} MiB in steps of {}", size.from, size.to, size.step),
    };
    let enough = memory_sizes(size).find(|known| *known >= memory).unwrap_or(size.to);
    Err(Violation::new(format!("Fargate does not offer {memory} MiB with {cpu_units} CPU units; valid: {range}"))
        .with_suggestion(enough))
}

/// Checks the time from SIGTERM to SIGKILL, in seconds. (ECS developer guide: Task definition parameters for Fargate,
/// `stopTimeout`)
pub fn stop_timeout(seconds: i64) -> Verdict {
    between(seconds, 2, 120, " seconds")
}

/// Checks the desired count of a service. (ECS developer guide: service quotas, tasks per service)
pub fn desired_count(count: i64) -> Verdict {
    between(count, 0, 5000, " tasks")
}

/// Checks the desired count of a scheduler: 0 or 1. Two schedulers would each send every periodic task. (Celery user
/// guide: Periodic Tasks, "only a single scheduler is running")
pub fn scheduler_count(count: i64) -> Verdict {
    at_most_one(count, 0, 1, " tasks")
}

/// Checks the minimum healthy percent of a scheduler during a rollout. It must be 0, so that the old task stops before
/// the new one starts.
pub fn scheduler_min_healthy_percent(percent: i64) -> Verdict {
    at_most_one(percent, 0, 0, " percent")
}

/// Checks the maximum percent of a scheduler during a rollout. It must be 100.
pub fn scheduler_max_percent(percent: i64) -> Verdict {
    at_most_one(percent, 100, 100, " percent")
}

fn at_most_one(value: i64, min: i64, max: i64, unit: &str) -> Verdict {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    let text = format!("with {value}{unit}, two schedulers could run at once and send every periodic task twice");
    Err(Violation::new(text).with_suggestion(max))
}

/// Checks the name of a Celery queue, which is used in a comma-separated list.
pub fn queue(name: &str) -> Verdict {
    let what = "a queue name";
    length(what, name, 1, 255)?;
    only(what, name, |c| c.is_ascii_graphic() && c != ',', "visible ASCII characters other than a comma")
}

/// Checks the text that a task logs when it is ready. It is sent to CloudWatch Logs as a quoted phrase, in which a quote
/// and a backslash take two characters. (CloudWatch Logs API: FilterLogEvents, `filterPattern`)
pub fn ready_log(text: &str) -> Verdict {
    let what = "a text to wait for";
    length(what, text, 1, 500)?;
    only(what, text, |c| !c.is_control(), "characters of a single line")?;
    match text.trim() == text {
        true => Ok(()),
        false => Err(Violation::new(format!("{what} has no blank at its ends")).with_suggestion(text.trim())),
    }
}

/// Checks the minimum percentage of tasks that keep running during a rollout. (ECS API: DeploymentConfiguration)
pub fn min_healthy_percent(percent: i64) -> Verdict {
    between(percent, 0, 100, " percent")
}

/// Checks the maximum percentage of tasks, old and new, that may run during a rollout. (ECS API:
/// DeploymentConfiguration)
pub fn max_percent(percent: i64) -> Verdict {
    between(percent, 100, 200, " percent")
}

/// Checks that a rollout can progress, because the percentages allow ECS to start or stop at least one task. ECS rounds
/// the minimum up and the maximum down. (ECS API: DeploymentConfiguration)
pub fn rollout_can_progress(count: i64, min: i64, max: i64) -> Verdict {
    let most = count.saturating_mul(max) / 100;
    let least = count.saturating_mul(min).saturating_add(99) / 100;
    if count == 0 || most > count || least < count {
        return Ok(());
    }
    let tasks = if count == 1 { "task" } else { "tasks" };
    Err(Violation::new(format!(
        "with {count} {tasks}, at least {least} must run and at most {most} may run, so a rollout can neither start \
         nor stop a task"
    )))
}

/// Checks the number of failed tasks after which the circuit breaker ends a rollout.
/// (ECS API: ThresholdConfiguration, `COUNT`)
pub fn breaker_threshold(count: i64) -> Verdict {
    between(count, 1, 1000, " failed tasks")
}

/// Checks the health check grace period of a service, in seconds.
/// (ECS API: CreateService, `healthCheckGracePeriodSeconds`)
pub fn health_check_grace(seconds: i64) -> Verdict {
    between(seconds, 0, i64::from(i32::MAX), " seconds")
}

/// Checks the name of an environment variable. (POSIX: Environment Variables)
pub fn variable_name(name: &str) -> Verdict {
    let what = "a variable name";
    length(what, name, 1, 255)?;
    only(what, name, |c| c.is_ascii_alphanumeric() || "_.-".contains(c), "letters, digits and _.-")?;
    begins(what, name, |c| !c.is_ascii_digit(), "a character other than a digit")
}

/// Checks that a variable is not one of those that pb-deploy itself sets.
pub fn unreserved_variable(name: &str, reserved: &[&str]) -> Verdict {
    if reserved.contains(&name) {
        return Err(Violation::new(format!("`{name}` is already set to the address of the queue")));
    }
    Ok(())
}

/// Checks the maximum time that a deploy waits for one resource, in seconds.
pub fn wait_timeout(seconds: i64) -> Verdict {
    between(seconds, 60, 86400, " seconds")
}

/// Checks the number of revisions of a task definition to keep: at least the revision in use and one to roll back to.
pub fn keep_revisions(count: i64) -> Verdict {
    between(count, 2, 100, " revisions")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn task_sizes() {
        for (cpu, memory) in [
            (256, &[512, 1024, 2048][..]),
            (512, &[1024, 2048, 3072, 4096]),
            (1024, &[2048, 4096, 8192]),
            (2048, &[4096, 5120, 16384]),
            (4096, &[8192, 9216, 30720]),
            (8192, &[16384, 20480, 61440]),
            (16384, &[32768, 40960, 122_880]),
        ] {
            for memory in memory {
                assert_eq!(task_size(cpu, *memory), Ok(()), "{cpu} {memory}");
            }
        }
        for (cpu, memory, nearest) in [
            (256, 1536, "2048"),
            (256, 4096, "2048"),
            (512, 512, "1024"),
            (1024, 5000, "5120"),
            (1024, 1024, "2048"),
            (8192, 17408, "20480"),
            (16384, 999_999, "122880"),
            (1000, 2048, "1024"),
        ] {
            let violation = task_size(cpu, memory).unwrap_err();
            assert_eq!(violation.suggestion(), Some(nearest), "{cpu} {memory}");
        }
    }

    #[test]
    fn bounds() {
        type Rule = fn(i64) -> Verdict;
        let table: [(Rule, i64, i64); 6] = [
            (stop_timeout, 2, 120),
            (desired_count, 0, 5000),
            (min_healthy_percent, 0, 100),
            (max_percent, 100, 200),
            (breaker_threshold, 1, 1000),
            (health_check_grace, 0, 2_147_483_647),
        ];
        for (rule, min, max) in table {
            assert_eq!(rule(min), Ok(()));
            assert_eq!(rule(max), Ok(()));
            assert!(rule(min - 1).is_err());
            assert!(rule(max + 1).is_err());
        }
    }

    #[test]
    fn text_to_wait_for_is_a_part_of_one_line() {
        for text in ["ready.", "beat: Starting...", "say \"hi\"", &"x".repeat(500)] {
            assert_eq!(ready_log(text), Ok(()), "{text}");
        }
        for text in ["", "two\nlines", &"x".repeat(501)] {
            assert!(ready_log(text).is_err(), "{text}");
        }
        assert_eq!(ready_log(" ready. ").unwrap_err().suggestion(), Some("ready."));
    }

    #[test]
    fn rollout_that_can_never_begin_is_refused() {
        for (count, min, max) in [(1, 100, 200), (1, 0, 100), (4, 75, 100), (4, 100, 125), (0, 100, 100)] {
            assert_eq!(rollout_can_progress(count, min, max), Ok(()), "{count} {min} {max}");
        }
        for (count, min, max) in [(1, 100, 100), (1, 100, 150), (1, 50, 150), (4, 80, 120)] {
            assert!(rollout_can_progress(count, min, max).is_err(), "{count} {min} {max}");
        }
    }

    #[test]
    fn variables() {
        assert_eq!(variable_name("CELERY_CONCURRENCY"), Ok(()));
        for bad in ["", "1A", "A=B", "A B"] {
            assert!(variable_name(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn suggested_task_size_is_valid(cpu in -10i64..40000, memory in -10i64..200_000) {
            let fixed_cpu = match super::cpu(cpu) {
                Ok(()) => cpu,
                Err(violation) => violation.suggestion().unwrap().parse().unwrap(),
            };
            if let Err(violation) = task_size(fixed_cpu, memory) {
                let fixed: i64 = violation.suggestion().unwrap().parse().unwrap();
                prop_assert_eq!(task_size(fixed_cpu, fixed), Ok(()));
            }
        }
    }
}
