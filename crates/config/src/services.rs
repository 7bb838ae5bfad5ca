//! Reads what runs.

use pb_rules::{Verdict, fargate, network};

use crate::section::Section;
use crate::workspace::{Image, Service, Services, WebService};

/// Variables that every container gets; they name the queue.
pub const QUEUE_VARIABLES: [&str; 2] = ["CELERY_BROKER_URL", "CELERY_RESULT_BACKEND"];

/// What differs between the services where nothing is written.
struct Defaults {
    tag: &'static str,
    count: i32,
    stop_timeout: i32,
}

pub(crate) fn services(section: &mut Section<'_, '_>) -> Services {
    let flask = Defaults { tag: "flask", count: 1, stop_timeout: 30 };
    let celery = Defaults { tag: "celery", count: 4, stop_timeout: 120 };
    Services {
        flask: section.section("flask", |section| WebService {
            service: service(section, &flask),
            port: section.number("port", 5050, network::port).value,
            health_check_grace_seconds: section
                .number("health_check_grace_seconds", 60, fargate::health_check_grace)
                .value,
        }),
        celery: section.section("celery", |section| service(section, &celery)),
    }
}

fn service(section: &mut Section<'_, '_>, defaults: &Defaults) -> Service {
    let image = image(section, defaults.tag);
    let command = section.texts("command", Some("[]"), |word| Ok(word.to_owned()));
    let environment = section.map("environment", variable, |_| Ok(()));
    let count = section.number("count", defaults.count, fargate::desired_count);
    let cpu = section.number("cpu", 1024, fargate::cpu);
    let memory = section.number("memory", 4096, |_| Ok(()));
    section.reader.check(&[&memory.origin, &cpu.origin], "memory", "", || {
        fargate::size(i64::from(cpu.value), i64::from(memory.value))
    });
    let stop_timeout = section.number("stop_timeout", defaults.stop_timeout, fargate::stop_timeout);
    let min = section.number("min_healthy_percent", 100, fargate::min_healthy_percent);
    let help = "raise `max_percent`, or lower `min_healthy_percent`";
    let max = section.number("max_percent", 200, fargate::max_percent);
    section.reader.check(&[&max.origin, &min.origin, &count.origin], "max_percent", help, || {
        fargate::rollout_moves(count.value.into(), min.value.into(), max.value.into())
    });
    Service {
        image,
        command: command.value.unwrap_or_default(),
        environment,
        count: count.value,
        cpu: cpu.value,
        memory: memory.value,
        stop_timeout: stop_timeout.value,
        min_healthy_percent: min.value,
        max_percent: max.value,
        breaker_threshold: section.optional_number("breaker_threshold", fargate::breaker_threshold).value,
    }
}

/// A full reference, or a tag in our own repository. A tag beside a reference would be ignored, so it is refused, unless
/// the workspace's reference replaces the tag that is written for all.
fn image(section: &mut Section<'_, '_>, default_tag: &str) -> Image {
    let reference = section.optional_text("image", fargate::image);
    let tag = section.text("tag", default_tag, fargate::image_tag);
    let Some(image) = reference.value.clone() else {
        return Image::Tag(tag.value);
    };
    if let (Some(image), Some(tag)) = (reference.place(), tag.place())
        && tag.layer >= image.layer
    {
        let message = "invalid tag: `image` is a full reference already, so a tag has no effect";
        let help = "take out `tag`, or take out `image` to use the workspace's own repository";
        let span = Some(tag.span.clone());
        section.reader.note(span, &tag.path, message.to_owned(), help.to_owned());
    }
    Image::Reference(image)
}

fn variable(name: &str) -> Verdict {
    fargate::variable_name(name)?;
    fargate::free_variable(name, &QUEUE_VARIABLES)
}
