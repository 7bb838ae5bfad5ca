//! Reads the services beside Flask and Celery: web services with rules, pools of workers, a scheduler.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use pb_rules::{Verdict, Violation, dns, load_balancer, names, network};

use crate::names::Names;
use crate::reader::{Location, Origin, Reader};
use crate::section::Section;
use crate::services::{SCHEDULER, service, web, workers};
use crate::workspace::{LoadBalancer, OtherService, Route, Services};

/// Names that other addresses of the stack have.
const RESERVED_KEYS: [&str; 4] = ["logs", "repository", "cluster", "before"];

/// The first place among the rules that have no number of their own.
const FIRST_DEFAULT_PRIORITY: i32 = 1001;

/// Where each service beside Flask and Celery is written first.
pub(crate) type Locations = BTreeMap<String, Location>;

/// What hosts of rules are completed with, and where their records go.
pub(crate) struct Domain<'a> {
    pub(crate) hostname: &'a str,
    pub(crate) zone: &'a str,
    pub(crate) load_balancer: &'a LoadBalancer,
}

/// The services, and where those beside Flask and Celery are written first.
pub(crate) fn services(section: &mut Section<'_, '_>, domain: &Domain<'_>) -> (Services, Locations) {
    let mut services = Services {
        flask: section.section("flask", web),
        celery: section.section("celery", workers),
        others: BTreeMap::new(),
    };
    let mut locations = Locations::new();
    for (key, location) in section.unread_keys() {
        if let Err(violation) = names::service_key(&key, &RESERVED_KEYS) {
            report(section.reader, &location, &key, &violation, "choose another name");
        }
        if let Some(other) = section.section(&key, |section| other(section, domain)) {
            services.others.insert(key.clone(), other);
            locations.insert(key, location);
        }
    }
    assign_priorities(&mut services);
    check_across_services(section, &services, &locations);
    (services, locations)
}

fn other(section: &mut Section<'_, '_>, domain: &Domain<'_>) -> Option<OtherService> {
    let kind = section.required_text("kind", "worker", |kind| match kind {
        "web" | "worker" | "scheduler" => Ok(()),
        other => Err(Violation::new(format!("`{other}` is none of `web`, `worker`, `scheduler`"))),
    });
    match kind.value.as_str() {
        "web" => {
            let web = web(section);
            Some(OtherService::Web(web, route(section, domain, &kind.origin)))
        }
        "worker" => Some(OtherService::Workers(workers(section))),
        "scheduler" => Some(OtherService::Scheduler(scheduler(section, &kind.origin))),
        _ => {
            section.accept_all_keys();
            None
        }
    }
}

/// With neither a command nor an image of its own it would be another worker.
fn scheduler(section: &mut Section<'_, '_>, kind: &Origin) -> crate::Service {
    let service = service(section, &SCHEDULER);
    let own = !service.command.is_empty() || section.contains("image") || section.contains("tag");
    let help =
        r#"write its `command`, such as ["celery", "-A", "my_app", "beat", "--schedule", "/tmp/celerybeat-schedule"]"#;
    section.reader.check(&[kind], "command", help, || match own {
        true => Ok(()),
        false => Err(Violation::new("a scheduler with the workers' image and no command would be another worker")),
    });
    service
}

fn route(section: &mut Section<'_, '_>, domain: &Domain<'_>, kind: &Origin) -> Route {
    let hosts = section.texts("hosts", None, |host| full_host(host, domain.hostname));
    let paths = section.texts("paths", None, |path| load_balancer::path_pattern(path).map(|()| path.to_owned()));
    let (host_list, path_list) = (hosts.value.unwrap_or_default(), paths.value.unwrap_or_default());
    let help = r#"write which requests it gets, such as `paths = ["/api/*"]` or `hosts = ["api"]`"#;
    let none = host_list.is_empty() && path_list.is_empty();
    let written: &[&Origin] =
        if none { &[kind, &hosts.origin, &paths.origin] } else { &[&hosts.origin, &paths.origin] };
    section.reader.check(written, "paths", help, || {
        load_balancer::conditions(host_list.iter().chain(&path_list).map(String::as_str))
    });
    let ours = |host: &&String| {
        let plain = !host.contains(['*', '?']) && host.as_str() != domain.hostname;
        plain && dns::in_zone(host, domain.zone).is_ok()
    };
    let priority = section.optional_number("priority", load_balancer::chosen_priority).value;
    let default = &domain.load_balancer;
    Route {
        records: host_list.iter().filter(ours).cloned().collect(),
        hosts: host_list,
        paths: path_list,
        priority: priority.unwrap_or_default(),
        health_path: section.text("health_path", &default.health_path, load_balancer::health_path).value,
        health_matcher: section.text("health_matcher", &default.health_matcher, load_balancer::health_matcher).value,
    }
}

/// A host without a dot stands before the workspace's own: `api` is `api.staging.example.org` in staging.
fn full_host(host: &str, hostname: &str) -> Result<String, Violation> {
    let host = if host.contains('.') { host.to_owned() } else { format!("{host}.{hostname}") };
    load_balancer::host_pattern(&host)?;
    Ok(host)
}

/// Gives a place to each rule that has no number of its own: hosts before paths alone, longer paths before shorter ones.
fn assign_priorities(services: &mut Services) {
    let literal = |path: &String| path.chars().filter(|c| !"*?".contains(*c)).count();
    let mut rules: Vec<(&String, &mut Route)> = services
        .others
        .iter_mut()
        .filter_map(|(key, other)| match other {
            OtherService::Web(_, route) if route.priority == 0 => Some((key, route)),
            _ => None,
        })
        .collect();
    rules.sort_by_key(|(key, route)| {
        let length = route.paths.iter().map(literal).min().unwrap_or_default();
        (route.hosts.is_empty(), Reverse(length), (*key).clone())
    });
    for ((_, route), location) in rules.into_iter().zip(FIRST_DEFAULT_PRIORITY..) {
        route.priority = location;
    }
}

/// What no single service can see. A mistake goes to the service that is written last.
fn check_across_services(section: &mut Section<'_, '_>, services: &Services, locations: &Locations) {
    let routed: Vec<_> = services.routed().collect();
    let mut mistakes: Vec<(String, Violation, &str)> = Vec::new();
    let mut add = |key: &str, why: String, help| mistakes.push((key.to_owned(), Violation::new(why), help));
    for (index, (key, _, route)) in routed.iter().enumerate() {
        for (other, _, earlier) in &routed[..index] {
            if earlier.priority == route.priority {
                let why = format!("`{other}` has the priority {} already", route.priority);
                add(key, why, "give one of them another `priority`, or take it out");
            } else if (&earlier.hosts, &earlier.paths) == (&route.hosts, &route.paths) {
                let why = format!("`{other}` gets the same requests, so one of the two would get none");
                add(key, why, "give one of them other `hosts` or `paths`");
            }
        }
    }
    let schedulers = services.others.iter().filter(|(_, other)| matches!(other, OtherService::Scheduler(_)));
    for (key, _) in schedulers.skip(1) {
        let why = "there is a scheduler already, and two would send every periodic task twice".to_owned();
        add(key, why, "put both schedules into one");
    }
    let ports = network::rule_count(
        1 + routed.iter().map(|(_, web, _)| web.port).collect::<std::collections::BTreeSet<_>>().len(),
    );
    let many = web_service_count(routed.len() + 1).and(ports);
    if let (Err(violation), Some((key, ..))) = (many, routed.last()) {
        mistakes.push(((*key).to_owned(), violation, "take some of the web services out, or let them share a port"));
    }
    for (key, violation, help) in mistakes {
        if let Some(location) = locations.get(&key) {
            report(section.reader, location, &key, &violation, help);
        }
    }
}

/// Asks the rules of the names that are made from a service's own.
pub(crate) fn check_names(reader: &mut Reader<'_>, names: &Names, locations: &Locations) {
    for (key, location) in locations {
        let of = |names: &BTreeMap<String, String>, rule: fn(&str) -> Verdict| {
            names.get(key).map_or(Ok(()), |name| rule(name))
        };
        let verdict =
            of(&names.other_target_groups, names::target_group).and_then(|()| of(&names.others, names::service));
        if let Err(violation) = verdict {
            report(reader, location, key, &violation, "give it a shorter name, or the workspace one");
        }
    }
}

fn report(reader: &mut Reader<'_>, location: &Location, key: &str, violation: &Violation, help: &str) {
    let message = format!("invalid service `{key}`: {violation}");
    reader.report(Some(location.span.clone()), &location.path, message, help.to_owned());
}

fn web_service_count(count: usize) -> Verdict {
    if count <= load_balancer::RULES_MAX {
        return Ok(());
    }
    let most = load_balancer::RULES_MAX;
    Err(Violation::new(format!("a load balancer serves {most} web services at most, and this makes {count}")))
}
