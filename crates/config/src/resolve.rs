//! Reader of a workspace: all keys with their defaults and rules. This module defines the format.

use std::collections::BTreeMap;

use ipnet::Ipv4Net;
use pb_rules::capacity::{self, Needs};
use pb_rules::{
    Violation, account, cache, dns, fargate, load_balancer, logs, names as rules, network, region, secrets, tags,
    task_definition,
};

use crate::https::{self, Site};
use crate::names::{self, NameParts, Names, PRODUCTION};
use crate::other_services::{self, Domain};
use crate::reader::{Located, Origin};
use crate::roles::{self, Owner};
use crate::section::{Section, TABLES};
use crate::workspace::{
    Deploy, Egress, Engine, LoadBalancer, LogMode, Logs, Network, Protocol, Redis, ReleaseCommand, Repository,
    Services, State, Workspace,
};

const ANYWHERE: Ipv4Net = block([0, 0, 0, 0], 0);

const fn block([a, b, c, d]: [u8; 4], prefix_len: u8) -> Ipv4Net {
    Ipv4Net::new_assert(std::net::Ipv4Addr::new(a, b, c, d), prefix_len)
}

/// Reads one workspace. A refused value is replaced with its default; the reader then contains a problem, and the
/// result must not be used.
pub(crate) fn workspace(name: &str, root: &mut Section<'_, '_>) -> Workspace {
    let region = root.required_text("region", "us-east-2", region::region);
    let hostname = root.required_text("hostname", "example.org", dns::hostname);
    let zone = root.optional_text("zone", dns::hostname);
    let zone = Located { value: zone.value.unwrap_or_else(|| hostname.value.clone()), origin: zone.origin };
    let own = names::hostname(name, &hostname.value);
    root.reader.check(
        &[&hostname.origin, &zone.origin],
        "zone",
        "set `zone` to the hosted zone that contains the hostname",
        // The message names the configured hostname, so that it is the same for all workspaces.
        || dns::in_zone(&own, &zone.value).or_else(|_| dns::in_zone(&hostname.value, &zone.value)),
    );
    let zone_id = root.optional_text("zone_id", dns::zone_id).value;
    let stack = root.text("stack", "pb-deploy", rules::stack);
    let accounts = root.texts("allowed_account_ids", None, |id| account::account_id(id).map(|()| id.to_owned()));

    let ignored = root.texts("ignore_changes", Some("[]"), ignored_field);

    let state = root.section("state", state);
    let owner = Owner { stack: &stack.value, workspace: name, region: &region };
    let mut roles = root.section("roles", |section| roles::roles(section, &owner));
    let tags = extra_tags(root);
    let network = root.section("network", |section| network_settings(section, &region));
    let redis = root.section("redis", redis);
    let logs = root.section("logs", logs);
    let repository =
        root.section("repository", |section| Repository { delete_images: section.flag("delete_images", false).value });
    let load_balancer = root.section("load_balancer", |section| load_balancer(section, name));
    let domain = Domain { hostname: &own, zone: &zone.value, load_balancer: &load_balancer };
    let (services, locations) = root.section("services", |section| other_services::services(section, &domain));
    let deploy = root.section("deploy", |section| deploy(section, &services));
    let site = Site { hostname: &own, region: &region, services: &services };
    let https = root.section("https", |section| https::https(section, &site));
    roles::complete(root, &mut roles, &services);
    check_addresses(root, &network, &deploy, &services);
    let names = Names::new(&NameParts {
        workspace: name,
        stack: &stack.value,
        hostname: &hostname.value,
        key_prefix: &state.key_prefix,
        family: redis.family.as_deref(),
        flask_port: services.flask.port,
        others: &services.others.iter().map(|(key, other)| (key.as_str(), other.port())).collect::<Vec<_>>(),
    });
    check_names(root, name, &names, &[&hostname.origin, &stack.origin]);
    other_services::check_names(root.reader, &names, &locations);
    Workspace {
        name: name.to_owned(),
        stack: stack.value,
        region: region.value,
        allowed_account_ids: accounts.value,
        hostname: hostname.value,
        zone: zone.value,
        zone_id,
        ignore_changes: ignored.value.unwrap_or_default(),
        names,
        tags,
        state,
        roles,
        network,
        redis,
        logs,
        repository,
        services,
        load_balancer,
        https,
        deploy,
    }
}

/// Checks the name of a workspace and the names derived from it. Problems are reported at the header of the workspace.
fn check_names(root: &mut Section<'_, '_>, workspace: &str, names: &Names, made_from: &[&Origin]) {
    let Some(header) = root.reader.header.clone() else {
        return;
    };
    let unsound = made_from.iter().any(|origin| matches!(origin, Origin::Invalid));
    let verdict = rules::workspace(workspace).and_then(|()| match unsound {
        true => Ok(()),
        false => names.check(),
    });
    let Err(violation) = verdict else { return };
    let added = names.target_group.len() - workspace.len();
    let help = format!("choose another name: at most {} lower-case letters, digits and hyphens", 32 - added);
    let message = format!("invalid workspace name `{workspace}`: {violation}");
    root.reader.report(Some(header.span), &header.path, message, help);
}

/// Checks the form of an ignored field, such as `fargate/celery.desired_count`; when the stack is built, it checks that
/// the resource and the field exist.
fn ignored_field(text: &str) -> Result<String, Violation> {
    let parts = text.split_once('.').and_then(|(address, path)| Some((address.split_once('/')?, path)));
    match parts {
        Some(((concern, name), path)) if [concern, name, path].iter().all(|part| !part.is_empty()) => {
            Ok(text.to_owned())
        }
        _ => Err(Violation::new(format!(
            "`{text}` does not have the form ADDRESS.FIELD, such as `fargate/celery.desired_count`"
        ))),
    }
}

fn state(section: &mut Section<'_, '_>) -> State {
    State {
        bucket: section.required_text("bucket", "my-state-bucket", account::bucket).value,
        lock_table: section.required_text("lock_table", "my-lock-table", account::table).value,
        key_prefix: section.text("key_prefix", "", account::key_prefix).value,
        kms_key: section.optional_text("kms_key", account::kms_key).value,
    }
}

/// Checks that the tasks' subnet has addresses for all tasks.
fn check_addresses(root: &mut Section<'_, '_>, network: &Network, deploy: &Deploy, services: &Services) {
    let needs = Needs::addresses(services.tasks(deploy.before.as_ref()));
    if let (Err(violation), Some(header)) =
        (capacity::subnet_has_room(network.tasks_subnet, needs), root.reader.header.clone())
    {
        let help = "choose a larger `tasks_subnet` under `[network]`, or fewer tasks".to_owned();
        root.reader.report(Some(header.span), &header.path, format!("invalid count: {violation}"), help);
    }
}

fn deploy(section: &mut Section<'_, '_>, services: &Services) -> Deploy {
    Deploy {
        wait_timeout: section.number("wait_timeout", 1800, fargate::wait_timeout).value,
        keep_revisions: section.number("keep_revisions", 10, fargate::keep_revisions).value,
        before: section.contains("before").then(|| section.section("before", |section| before(section, services))),
    }
}

fn before(section: &mut Section<'_, '_>, services: &Services) -> ReleaseCommand {
    let service = section.optional_text("service", |_| Ok(()));
    let key = service.value.clone().unwrap_or_else(|| "flask".to_owned());
    let known: Vec<&str> = services.all().map(|(key, _)| key).collect();
    section.reader.check(&[&service.origin], "service", &format!("the services are {}", known.join(", ")), || {
        match known.contains(&key.as_str()) {
            true => Ok(()),
            false => Err(Violation::new(format!("there is no service `{key}`"))),
        }
    });
    let command = section.texts("command", None, crate::services::word);
    let words = command.value.unwrap_or_default();
    let help = r#"set the command to run, such as `command = ["flask", "db", "upgrade"]`"#;
    section.reader.check(&[&command.origin], "command", help, || match words.is_empty() {
        true => Err(Violation::new("the release command is empty")),
        false => task_definition::command_override(words.iter().map(String::as_str)),
    });
    ReleaseCommand { service: key, command: words }
}

fn extra_tags(root: &mut Section<'_, '_>) -> BTreeMap<String, String> {
    let tags = root.map("tags", tags::extra_key, |key, value| {
        tags::value(value)?;
        secrets::plain_variable(key, value)
    });
    let tags: BTreeMap<String, String> = tags.into_iter().map(|(key, tag)| (key, tag.value)).collect();
    root.reader.check(&[], "tags", "remove some of them", || tags::extra_count(tags.len()));
    tags
}

fn network_settings(section: &mut Section<'_, '_>, region: &Located<String>) -> Network {
    let vpc = section.cidr("cidr", block([10, 0, 0, 0], 16));
    let tasks = section.cidr("tasks_subnet", block([10, 0, 1, 0], 24));
    let balancer = section.cidr("balancer_subnet", block([10, 0, 2, 0], 24));
    let reader = &mut *section.reader;
    reader.check(&[&vpc.origin], "cidr", "write a block such as `10.0.0.0/16`", || network::vpc_cidr(vpc.value));
    for (key, subnet) in [("tasks_subnet", &tasks), ("balancer_subnet", &balancer)] {
        reader.check(&[&subnet.origin, &vpc.origin], key, "choose subnets of /16 to /28 inside `cidr`", || {
            network::subnet_cidr(subnet.value, vpc.value)
        });
    }
    // The load balancer has network interfaces in both subnets, so its size limit applies to both.
    for (key, subnet) in [("tasks_subnet", &tasks), ("balancer_subnet", &balancer)] {
        reader.check(&[&subnet.origin], key, "", || network::load_balancer_subnet_cidr(subnet.value));
    }
    reader.check(&[&balancer.origin, &tasks.origin], "balancer_subnet", "choose subnets that do not overlap", || {
        network::disjoint(balancer.value, tasks.value)
    });
    Network {
        cidr: vpc.value,
        tasks_subnet: tasks.value,
        balancer_subnet: balancer.value,
        zones: zones(section, region),
        egress: egress(section),
    }
}

fn zones(section: &mut Section<'_, '_>, region: &Located<String>) -> Option<[String; 2]> {
    let zones = section.texts("zones", None, |zone| Ok(zone.to_owned()));
    let list = zones.value.as_ref()?;
    section.reader.check(&[&zones.origin], "zones", "write two different Availability Zones of the region", || {
        network::zones(list)
    });
    for zone in list {
        section.reader.check(
            &[&zones.origin, &region.origin],
            "zones",
            "write two different Availability Zones of the region",
            || network::zone(zone, &region.value),
        );
    }
    <[String; 2]>::try_from(list.clone()).ok()
}

fn egress(section: &mut Section<'_, '_>) -> Vec<Egress> {
    let default_toml = r#"[{ protocol = "tcp", port = 443, cidr = "0.0.0.0/0", description = "HTTPS" }]"#;
    let rules = section.list("egress", TABLES, Some(default_toml), |section, location, value| {
        section.item("egress", location, value, egress_rule)
    });
    let list = rules.value.unwrap_or_else(|| vec![https()]);
    section.reader.check(&[&rules.origin], "egress", "merge some of them", || network::rule_count(list.len() + 1));
    section.reader.check(&[&rules.origin], "egress", "remove one of the two", || {
        network::distinct_rules(list.iter().map(|rule| (rule.protocol.as_str(), rule.port, rule.cidr)))
    });
    list
}

fn https() -> Egress {
    Egress { protocol: Protocol::Tcp, port: 443, cidr: ANYWHERE, description: "HTTPS".to_owned() }
}

fn egress_rule(section: &mut Section<'_, '_>) -> Egress {
    let protocols = [("tcp", Protocol::Tcp), ("udp", Protocol::Udp)];
    Egress {
        protocol: section.choice("protocol", &protocols, Protocol::Tcp, "tcp").value,
        port: section.required_number("port", 443, network::port).value,
        cidr: section.cidr("cidr", ANYWHERE).value,
        description: section.text("description", "", rules::security_group_description).value,
    }
}

fn redis(section: &mut Section<'_, '_>) -> Redis {
    let engines = [("redis", Engine::Redis), ("valkey", Engine::Valkey)];
    let engine = section.choice("engine", &engines, Engine::Redis, "redis");
    // Without a version, Valkey has the newest one that AWS offers when the queue is created.
    let version = match engine.value {
        Engine::Redis => {
            let version = section.text("version", "7.1", |_| Ok(()));
            Located { value: Some(version.value), origin: version.origin }
        }
        Engine::Valkey => section.optional_text("version", |_| Ok(())),
    };
    let help = "choose a version of the engine, such as redis 7.1 or valkey 8.0";
    let family = version.value.as_deref().map(|version| cache::family(engine.value.as_str(), version));
    section.reader.check(&[&engine.origin, &version.origin], "version", help, || match (&family, &version.value) {
        (Some(family), Some(version)) => {
            family.clone().and_then(|_| cache::celery_broker(engine.value.as_str(), version))
        }
        _ => Ok(()),
    });
    Redis {
        engine: engine.value,
        version: version.value,
        family: family.map(|family| family.unwrap_or_else(|_| "redis7".to_owned())),
        node_type: section.text("node_type", "cache.t3.small", cache::node_type).value,
        port: section.number("port", 6400, network::port).value,
        auto_minor_version_upgrade: section.optional_flag("auto_minor_version_upgrade").value,
        at_rest_encryption: section.optional_flag("at_rest_encryption").value,
    }
}

fn logs(section: &mut Section<'_, '_>) -> Logs {
    let modes = [("non-blocking", LogMode::NonBlocking), ("blocking", LogMode::Blocking)];
    Logs {
        retention_days: section.number("retention_days", 30, logs::retention_days).value,
        mode: section.choice("mode", &modes, LogMode::NonBlocking, "non-blocking").value,
    }
}

fn load_balancer(section: &mut Section<'_, '_>, workspace: &str) -> LoadBalancer {
    let interval = section.number("health_interval", 10, load_balancer::health_interval);
    let timeout = section.number("health_timeout", 5, load_balancer::health_timeout);
    section.reader.check(
        &[&timeout.origin, &interval.origin],
        "health_timeout",
        "make it shorter than `health_interval`",
        || load_balancer::health_times(timeout.value.into(), interval.value.into()),
    );
    let cidrs = section.texts("ingress_cidrs", Some(r#"["0.0.0.0/0"]"#), network::cidr);
    let list = cidrs.value.unwrap_or_else(|| vec![ANYWHERE]);
    section.reader.check(&[&cidrs.origin], "ingress_cidrs", "merge some of them", || network::rule_count(list.len()));
    section.reader.check(&[&cidrs.origin], "ingress_cidrs", "remove one of the two", || {
        network::distinct_rules(list.iter().map(|cidr| ("tcp", 80, *cidr)))
    });
    let protection = section.optional_flag("deletion_protection").value;
    LoadBalancer {
        health_path: section.text("health_path", "/hello", load_balancer::health_path).value,
        health_matcher: section.text("health_matcher", "200", load_balancer::health_matcher).value,
        health_interval: interval.value,
        health_timeout: timeout.value,
        healthy_threshold: section.number("healthy_threshold", 2, load_balancer::health_threshold).value,
        unhealthy_threshold: section.number("unhealthy_threshold", 3, load_balancer::health_threshold).value,
        deregistration_delay: section.number("deregistration_delay", 15, load_balancer::deregistration_delay).value,
        deletion_protection: protection.or((workspace == PRODUCTION).then_some(true)),
        ingress_cidrs: list,
    }
}
