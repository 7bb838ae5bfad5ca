//! Reader of the services other than Flask and Celery: web services with rules, pools of workers, and a scheduler.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use pb_rules::{Verdict, Violation, dns, load_balancer, names, network};

use crate::names::Names;
use crate::reader::{Location, Origin, Reader};
use crate::section::Section;
use crate::services::{self, web, workers};
use crate::workspace::{LoadBalancer, OtherService, Route, Services};

/// Service names that would collide with other addresses of the stack.
const RESERVED_KEYS: [&str; 4] = ["logs", "repository", "cluster", "before"];

/// Lowest of the priorities that are assigned to rules without a configured priority.
const FIRST_DEFAULT_PRIORITY: i32 = 1001;

/// Location at which each service other than Flask and Celery first appears in the file, by key of the service.
pub(crate) type Locations = BTreeMap<String, Location>;

/// Settings of the workspace that determine the full host names, the DNS records and the default health checks of web
/// services.
pub(crate) struct Domain<'a> {
    pub(crate) hostname: &'a str,
    pub(crate) zone: &'a str,
    pub(crate) load_balancer: &'a LoadBalancer,
}

/// Reads all services, and also returns the locations of those other than Flask and Celery.
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
        other => Err(Violation::new(format!("`{other}` is not one of `web`, `worker`, `scheduler`"))),
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

/// Reads a scheduler. Without a command or an image of its own, it would run as another worker, so it is refused.
fn scheduler(section: &mut Section<'_, '_>, kind: &Origin) -> crate::Service {
    let service = services::scheduler(section);
    let own = !service.command.is_empty() || section.contains("image") || section.contains("tag");
    let help = r#"set its `command`, such as ["celery", "-A", "my_app", "beat"]"#;
    section.reader.check(&[kind], "command", help, || match own {
        true => Ok(()),
        false => Err(Violation::new("a scheduler with the workers' image and no command would run as another worker")),
    });
    service
}

fn route(section: &mut Section<'_, '_>, domain: &Domain<'_>, kind: &Origin) -> Route {
    let hosts = section.texts("hosts", None, |host| full_host(host, domain.hostname));
    let paths = section.texts("paths", None, |path| load_balancer::path_pattern(path).map(|()| path.to_owned()));
    let (host_list, path_list) = (hosts.value.unwrap_or_default(), paths.value.unwrap_or_default());
    let help = r#"set the requests that the service handles, such as `paths = ["/api/*"]` or `hosts = ["api"]`"#;
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

/// Returns the full name of a host. A host without a dot is a subdomain of the workspace's hostname: `api` is
/// `api.staging.example.org` in staging.
fn full_host(host: &str, hostname: &str) -> Result<String, Violation> {
    let host = if host.contains('.') { host.to_owned() } else { format!("{host}.{hostname}") };
    load_balancer::host_pattern(&host)?;
    Ok(host)
}

/// Assigns a priority to each rule that has no configured priority. Rules with hosts come before rules that have only
/// paths, and longer paths before shorter ones.
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

/// Checks the rules that concern several services. A problem is reported at the last service that contributes to it.
fn check_across_services(section: &mut Section<'_, '_>, services: &Services, locations: &Locations) {
    let routed: Vec<_> = services.routed().collect();
    let mut problems: Vec<(String, Violation, &str)> = Vec::new();
    let mut add = |key: &str, why: String, help| problems.push((key.to_owned(), Violation::new(why), help));
    for (index, (key, _, route)) in routed.iter().enumerate() {
        for (other, _, earlier) in &routed[..index] {
            if earlier.priority == route.priority {
                let why = format!("`{other}` already has the priority {}", route.priority);
                add(key, why, "change one of the two `priority` values, or remove it");
            } else if (&earlier.hosts, &earlier.paths) == (&route.hosts, &route.paths) {
                let why = format!("`{other}` matches the same requests, so one of the two would get none");
                add(key, why, "change `hosts` or `paths` of one of the two");
            }
        }
    }
    let schedulers = services.others.iter().filter(|(_, other)| matches!(other, OtherService::Scheduler(_)));
    for (key, _) in schedulers.skip(1) {
        let why = "there is already a scheduler, and two would send every periodic task twice".to_owned();
        add(key, why, "merge the two schedules");
    }
    let ports = network::rule_count(
        1 + routed.iter().map(|(_, web, _)| web.port).collect::<std::collections::BTreeSet<_>>().len(),
    );
    let many = web_service_count(routed.len() + 1).and(ports);
    if let (Err(violation), Some((key, ..))) = (many, routed.last()) {
        problems.push(((*key).to_owned(), violation, "remove some of the web services, or let them share a port"));
    }
    for (key, violation, help) in problems {
        if let Some(location) = locations.get(&key) {
            report(section.reader, location, &key, &violation, help);
        }
    }
}

/// Checks the names that are derived from the keys of the services other than Flask and Celery.
pub(crate) fn check_names(reader: &mut Reader<'_>, names: &Names, locations: &Locations) {
    for (key, location) in locations {
        let of = |names: &BTreeMap<String, String>, rule: fn(&str) -> Verdict| {
            names.get(key).map_or(Ok(()), |name| rule(name))
        };
        let verdict =
            of(&names.other_target_groups, names::target_group).and_then(|()| of(&names.others, names::service));
        if let Err(violation) = verdict {
            report(reader, location, key, &violation, "shorten the name of the service or of the workspace");
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
    Err(Violation::new(format!("a load balancer can have at most {most} web services; {count} are configured")))
}
