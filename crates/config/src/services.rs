//! Reader of the settings of web services, workers and schedulers.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use pb_rules::{Verdict, Violation, fargate, image, network, secrets, task_definition};

use crate::commands::{self, Command, Role};
use crate::reader::{Located, Origin};
use crate::section::Section;
use crate::workspace::{Image, Service, WebService};

/// Environment variables with the address of the queue, which the deploy sets in every container.
pub const QUEUE_VARIABLES: [&str; 2] = ["CELERY_BROKER_URL", "CELERY_RESULT_BACKEND"];

/// Environment variable from which `celery worker` reads its queues. Celery accepts every option of the command line as
/// a variable of this form.
pub const WORKER_QUEUES: &str = "CELERY_WORKER_QUEUES";

/// Variables of a container: values, or references to secrets, by name.
type Variables = BTreeMap<String, Located<String>>;

/// Environment variable from which `celery beat` reads the file of its schedule, and the file by default. Without it, beat
/// writes the file into the working directory, and exits if it may not. (Celery 5.7.0, measured: docs/celery.md)
const BEAT_SCHEDULE: (&str, &str) = ("CELERY_BEAT_SCHEDULE", "/tmp/celerybeat-schedule");

/// Line that a program of Celery logs when it has started, and the environment variable with the level from which on it
/// logs. The line has the level INFO; by default, Celery logs from WARNING on. (Celery 5.7.0, measured: docs/celery.md)
struct ReadyLine {
    line: &'static str,
    level: &'static str,
}

const WORKER_READY: ReadyLine = ReadyLine { line: "celery@HOST ready.", level: "CELERY_WORKER_LOGLEVEL" };
const BEAT_READY: ReadyLine = ReadyLine { line: "beat: Starting...", level: "CELERY_BEAT_LOGLEVEL" };

/// Defaults that differ between the kinds of services.
pub(crate) struct Defaults {
    tag: &'static str,
    count: i32,
    stop_timeout: i32,
    role: Role,
}

/// The stop timeout of web services is longer than the 30 s that gunicorn gives the requests in flight.
const WEB: Defaults = Defaults { tag: "flask", count: 1, stop_timeout: 35, role: Role::Web };
const WORKERS: Defaults = Defaults { tag: "celery", count: 4, stop_timeout: 120, role: Role::Workers };
const SCHEDULER: Defaults = Defaults { tag: "celery", count: 1, stop_timeout: 30, role: Role::Scheduler };

pub(crate) fn web(section: &mut Section<'_, '_>) -> WebService {
    WebService {
        service: service(section, &WEB),
        port: section.number("port", 5050, network::port).value,
        health_check_grace_seconds: section.number("health_check_grace_seconds", 60, fargate::health_check_grace).value,
    }
}

/// Reads a pool of workers. Its queues are passed to it in an environment variable.
pub(crate) fn workers(section: &mut Section<'_, '_>) -> Service {
    let mut service = service(section, &WORKERS);
    let queues = section.texts("queues", Some("[]"), |name| fargate::queue(name).map(|()| name.to_owned()));
    let names = queues.value.unwrap_or_default();
    let own = Command::new(&service.command).queues().is_some();
    let set = service.environment.contains_key(WORKER_QUEUES) || service.secrets.contains_key(WORKER_QUEUES);
    let twice = set || own;
    section.reader.check(&[&queues.origin], "queues", "name the queues in one place", || {
        match twice && !names.is_empty() {
            true => Err(Violation::new(format!("the command or {WORKER_QUEUES} already names queues"))),
            false => Ok(()),
        }
    });
    if !names.is_empty() {
        service.environment.insert(WORKER_QUEUES.to_owned(), names.join(","));
    }
    ready_log(section, &mut service, &WORKER_READY);
    service
}

/// Reads the settings of a scheduler. The file of its schedule is passed to it in an environment variable, unless the
/// configuration names one.
pub(crate) fn scheduler(section: &mut Section<'_, '_>) -> Service {
    let mut service = service(section, &SCHEDULER);
    let (name, file) = BEAT_SCHEDULE;
    let is_named = service.secrets.contains_key(name) || Command::new(&service.command).names_schedule_file();
    if !is_named {
        service.environment.entry(name.to_owned()).or_insert_with(|| file.to_owned());
    }
    ready_log(section, &mut service, &BEAT_READY);
    service
}

/// Reads the text that each new task logs when it is ready. If it is part of the line that Celery logs by itself, Celery's
/// level is set, unless the configuration sets one; a level that hides the line has a note.
fn ready_log(section: &mut Section<'_, '_>, service: &mut Service, celery: &ReadyLine) {
    let text = section.optional_text("ready_log", fargate::ready_log);
    if text.value.as_ref().is_some_and(|text| celery.line.contains(text.as_str())) {
        let written = Command::new(&service.command).log_level().map(str::to_owned);
        let level = written.or_else(|| service.environment.get(celery.level).cloned());
        match (level.as_deref(), text.location()) {
            (Some(level), Some(location)) => {
                if let Some(note) = commands::level_note(level) {
                    section.reader.note(location, note.message, note.help);
                }
            }
            (None, _) if !service.secrets.contains_key(celery.level) => {
                service.environment.insert(celery.level.to_owned(), "INFO".to_owned());
            }
            _ => {}
        }
    }
    service.ready_log = text.value;
}

fn service(section: &mut Section<'_, '_>, defaults: &Defaults) -> Service {
    let image = own_image(section, defaults.tag);
    let command = section.texts("command", Some("[]"), word);
    let [environment, secrets] = variables(section);
    check_size(section, &environment, &secrets, &command);
    let [environment, secrets] =
        [environment, secrets].map(|map| map.into_iter().map(|(name, value)| (name, value.value)).collect());
    let cpu = section.number("cpu", 1024, fargate::cpu);
    let memory = section.number("memory", 4096, |_| Ok(()));
    section.reader.check(&[&memory.origin, &cpu.origin], "memory", "", || {
        fargate::task_size(i64::from(cpu.value), i64::from(memory.value))
    });
    let stop_timeout = section.number("stop_timeout", defaults.stop_timeout, fargate::stop_timeout);
    let [count, min, max] = match defaults.role {
        Role::Scheduler => scheduler_rollout(section),
        Role::Web | Role::Workers => rolling_rollout(section, defaults.count),
    };
    add_notes(section, defaults.role, &command, &stop_timeout);
    Service {
        image,
        command: command.value.unwrap_or_default(),
        environment,
        secrets,
        count: count.value,
        cpu: cpu.value,
        memory: memory.value,
        stop_timeout: stop_timeout.value,
        min_healthy_percent: min.value,
        max_percent: max.value,
        breaker: section.flag("breaker", true).value,
        breaker_threshold: section.optional_number("breaker_threshold", fargate::breaker_threshold).value,
        ready_log: None,
        execute_command: section.optional_flag("execute_command").value.unwrap_or_default(),
        keep_scale: section.flag("keep_scale", false).value,
    }
}

/// Adds the notes about a command.
fn add_notes(
    section: &mut Section<'_, '_>,
    role: Role,
    command: &Located<Option<Vec<String>>>,
    stop_timeout: &Located<i32>,
) {
    let (Some(words), Some(location)) = (&command.value, command.location()) else { return };
    if matches!(stop_timeout.origin, Origin::Invalid) {
        return;
    }
    for note in Command::new(words).notes(role, stop_timeout.value.into()) {
        section.reader.note(location, note.message, note.help);
    }
}

fn add_environment_notes(section: &mut Section<'_, '_>, environment: &BTreeMap<String, Located<String>>) {
    for (name, value) in environment {
        if let (Some(note), Some(location)) = (commands::environment_note(name, &value.value), value.location()) {
            section.reader.note(location, note.message, note.help);
        }
    }
}

fn rolling_rollout(section: &mut Section<'_, '_>, count: i32) -> [Located<i32>; 3] {
    let count = section.number("count", count, fargate::desired_count);
    let min = section.number("min_healthy_percent", 100, fargate::min_healthy_percent);
    let help = "raise `max_percent`, or lower `min_healthy_percent`";
    let max = section.number("max_percent", 200, fargate::max_percent);
    section.reader.check(&[&max.origin, &min.origin, &count.origin], "max_percent", help, || {
        fargate::rollout_can_progress(count.value.into(), min.value.into(), max.value.into())
    });
    [count, min, max]
}

/// Reads the count and the percentages of a scheduler, whose old task must stop before its new task starts.
fn scheduler_rollout(section: &mut Section<'_, '_>) -> [Located<i32>; 3] {
    [
        section.number("count", 1, fargate::scheduler_count),
        section.number("min_healthy_percent", 0, fargate::scheduler_min_healthy_percent),
        section.number("max_percent", 100, fargate::scheduler_max_percent),
    ]
}

/// Reads a full image reference, or a tag in the workspace's repository. A tag next to a reference would have no
/// effect, so it is refused, unless the tag applies to all workspaces and a workspace overrides it with a reference.
fn own_image(section: &mut Section<'_, '_>, default_tag: &str) -> Image {
    let reference = section.optional_text("image", image::image);
    let tag = section.text("tag", default_tag, image::image_tag);
    let Some(image) = reference.value.clone() else {
        return Image::Tag(tag.value);
    };
    if let (Some(image), Some(tag)) = (reference.location(), tag.location())
        && tag.layer >= image.layer
    {
        let message = "invalid tag: `image` is a full reference, so `tag` has no effect";
        let help = "remove `tag`, or remove `image` to use the workspace's repository";
        let span = Some(tag.span.clone());
        section.reader.report(span, &tag.path, message.to_owned(), help.to_owned());
    }
    Image::Reference(image)
}

/// Returns an argument of a command, or refuses it if it looks like a secret.
pub(crate) fn word(word: &str) -> Result<String, Violation> {
    secrets::plain_word(word).map(|()| word.to_owned())
}

/// Reads the variables with plain values and the variables with references to secrets. A name in both tables is
/// refused, as ECS would refuse it, unless one of the two applies to all workspaces and the workspace overrides it with
/// the other.
fn variables(section: &mut Section<'_, '_>) -> [Variables; 2] {
    let mut plain = section.map("environment", variable, secrets::plain_variable);
    add_environment_notes(section, &plain);
    let mut secret = section.map("secrets", variable, |_, arn| secrets::reference(arn));
    let layer = |value: &Located<String>| value.location().map(|location| location.layer);
    let names: Vec<String> = plain.keys().cloned().collect();
    for name in names {
        let (Some(value), Some(reference)) = (plain.get(&name), secret.get(&name)) else { continue };
        match layer(value).cmp(&layer(reference)) {
            Ordering::Less => drop(plain.remove(&name)),
            Ordering::Greater => drop(secret.remove(&name)),
            Ordering::Equal => {
                let violation = Violation::new(format!("`{name}` is in both `environment` and `secrets`"));
                let origins = [&value.origin, &reference.origin];
                section.reader.check(&origins, &name, "remove one of the two", || Err(violation));
            }
        }
    }
    [plain, secret]
}

/// Checks that the variables and the command fit into a task definition. A violation is reported at the longest value.
fn check_size(
    section: &mut Section<'_, '_>,
    environment: &Variables,
    secrets: &Variables,
    command: &Located<Option<Vec<String>>>,
) {
    let pairs = |map| Variables::iter(map).map(|(name, value)| (name.as_str(), value.value.as_str()));
    let words = command.value.iter().flatten().map(String::as_str);
    let bytes = task_definition::container_size(pairs(environment), pairs(secrets), words.clone());
    let word = (words.map(str::len).sum(), &command.origin);
    let values = environment.values().chain(secrets.values()).map(|value| (value.value.len(), &value.origin));
    let (_, longest) = values.fold(word, |one, other| if other.0 > one.0 { other } else { one });
    section.reader.check(&[longest], "environment", "", || task_definition::configured_size(bytes));
}

fn variable(name: &str) -> Verdict {
    fargate::variable_name(name)?;
    fargate::unreserved_variable(name, &QUEUE_VARIABLES)
}
