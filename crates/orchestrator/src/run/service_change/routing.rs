//! The steps that repair the routing from the load balancer to the services, and that open security groups for the port
//! of an earlier revision.

use crate::exit::Error;
use crate::stack::names;
use crate::stack::names::DEFAULT_SERVICE;
use aws_config::SdkConfig;
use pb_edge::{Listener, ListenerRule};
use pb_engine::{Address, Live, Observed, Resource, Step, plan_create, plan_delete, plan_replacement, plan_update};
use pb_fargate::{ServiceSpec, Services};
use pb_net::{SecurityGroupRule, SecurityGroupRuleSpec, is_web_rule, web_rules};
use std::collections::{BTreeMap, BTreeSet};

/// The web services as they will be after the plan.
type WebServices = BTreeMap<Address, ServiceSpec>;

/// Adds the steps that repair the routing: rules that services need come before the steps of the services, and the
/// removal of rules that no service needs comes after them. If anything is repaired, each web service gets a step, so
/// that its targets are checked.
///
/// # Errors
/// A read that fails; a spec that this version does not understand.
pub async fn with_repairs(aws: &SdkConfig, observed: &Observed, mut steps: Vec<Step>) -> Result<Vec<Step>, Error> {
    let services = web_services(observed, &steps)?;
    let mut all = listener_repairs(aws, observed, &services).await?;
    let (opened, closed) = port_rules(observed, &services)?;
    all.extend(opened);
    if !all.is_empty() {
        for address in services.keys() {
            if !steps.iter().any(|step| step.address == *address) {
                steps.extend(unchanged_step(observed, address)?);
            }
        }
    }
    all.extend(steps);
    all.extend(closed);
    Ok(all)
}

/// Returns the step of a service that does not change.
fn unchanged_step(observed: &Observed, address: &Address) -> Result<Option<Step>, Error> {
    let Some(live) = observed.managed.get(address).and_then(|found| found.first()) else { return Ok(None) };
    let spec = live.typed::<Services>()?.spec;
    Ok(Some(plan_update::<Services>(address, live, &spec, &spec)?))
}

/// Returns the services behind the load balancer, as they will be after the steps.
fn web_services(observed: &Observed, steps: &[Step]) -> Result<WebServices, Error> {
    let mut services = WebServices::new();
    for (address, live) in observed.managed.iter().filter_map(|(address, live)| Some((address, live.first()?))) {
        if live.kind != Services::KIND {
            continue;
        }
        let planned = steps.iter().find(|step| step.address == *address).and_then(|step| step.after.as_ref());
        let spec = match planned {
            Some(after) => Live { spec: after.clone(), ..live.clone() }.typed::<Services>()?.spec,
            None => live.typed::<Services>()?.spec,
        };
        if !spec.load_balancers.is_empty() {
            services.insert(address.clone(), spec);
        }
    }
    Ok(services)
}

/// Returns the steps that point the listeners, and each of their rules, to the target group of its service, if the current
/// one has no healthy target.
async fn listener_repairs(aws: &SdkConfig, observed: &Observed, services: &WebServices) -> Result<Vec<Step>, Error> {
    let mut steps = Vec::new();
    for (address, service) in services {
        let Some(target) = service.load_balancers.first() else { continue };
        let wanted = &target.target_group_arn;
        let key = names::service_key(address);
        if key == DEFAULT_SERVICE {
            for listener in [names::LISTENER, names::LISTENER_HTTPS] {
                let repaired = repair::<Listener>(aws, observed, listener, wanted, |spec| &mut spec.target_group_arn);
                steps.extend(repaired.await?);
            }
        }
        for rule in names::listener_rules(key) {
            let repaired = repair::<ListenerRule>(aws, observed, &rule, wanted, |spec| &mut spec.target_group_arn);
            steps.extend(repaired.await?);
        }
    }
    Ok(steps)
}

/// Returns the step that points a listener or rule to the target group `wanted`, if its current one has no healthy
/// target.
async fn repair<R: Resource>(
    aws: &SdkConfig,
    observed: &Observed,
    address: &str,
    wanted: &str,
    group: fn(&mut R::Spec) -> &mut String,
) -> Result<Option<Step>, Error> {
    let Some((address, live)) = only_resource(observed, address, R::KIND) else { return Ok(None) };
    let before = live.typed::<R>()?.spec;
    let mut after = before.clone();
    let now = std::mem::replace(group(&mut after), wanted.to_owned());
    // Somebody set weights or a fixed response on purpose; they are left alone.
    let is_group = now.starts_with("arn:") && !now.contains(',');
    if !is_group || now == wanted || has_healthy_target(aws, &now).await? {
        return Ok(None);
    }
    Ok(Some(plan_update::<R>(address, live, &before, &after)?))
}

async fn has_healthy_target(aws: &SdkConfig, group: &str) -> Result<bool, Error> {
    let targets = pb_edge::target_health(aws, group).await?;
    Ok(targets.iter().any(|target| target.state == "healthy"))
}

/// Returns the steps that open the security groups for the ports of the services, and those that close the ports that
/// no service uses any more.
fn port_rules(observed: &Observed, services: &WebServices) -> Result<(Vec<Step>, Vec<Step>), Error> {
    let port = |service: &ServiceSpec| service.load_balancers.first().map(|target| target.port);
    let main = services.get(names::service(DEFAULT_SERVICE).as_str());
    let Some(main) = main.and_then(port) else { return Ok(Default::default()) };
    let others: BTreeSet<u16> = services.values().filter_map(port).collect();
    let mut rules: BTreeMap<Address, Vec<(&Live, SecurityGroupRuleSpec)>> = BTreeMap::new();
    for (address, live) in observed.managed.iter().filter(|(address, _)| is_web_rule(address)) {
        for live in live.iter().filter(|live| live.kind == SecurityGroupRule::KIND) {
            rules.entry(address.clone()).or_default().push((live, live.typed::<SecurityGroupRule>()?.spec));
        }
    }
    let first = rules.iter().filter_map(|(address, live)| Some((address.clone(), live.first()?.1.clone())));
    let Some(wanted) = web_rules(&first.collect(), main, &others) else { return Ok(Default::default()) };
    let mut opened = Vec::new();
    for (address, wanted) in &wanted {
        let live = rules.get(address).map_or(&[][..], Vec::as_slice);
        if live.iter().any(|(_, rule)| (rule.from_port, rule.to_port) == (wanted.from_port, wanted.to_port)) {
            continue;
        }
        opened.push(opening_step(address, live.first().map(|(live, _)| *live), wanted)?);
    }
    let left: BTreeSet<i32> = web_services(observed, &[])?.values().filter_map(port).map(i32::from).collect();
    let unwanted = rules.iter().filter(|(address, _)| !wanted.contains_key(*address));
    let unwanted = unwanted.flat_map(|(address, live)| live.iter().map(move |(live, rule)| (address, live, rule)));
    let closed = unwanted
        .filter(|(_, _, rule)| left.contains(&rule.from_port))
        .map(|(address, live, _)| plan_delete::<SecurityGroupRule>(address, live));
    Ok((opened, closed.collect::<Result<_, _>>()?))
}

/// Returns the step that creates a rule for another port, before an existing rule is deleted.
fn opening_step(address: &Address, live: Option<&Live>, wanted: &SecurityGroupRuleSpec) -> Result<Step, Error> {
    Ok(match live {
        Some(live) => plan_replacement::<SecurityGroupRule>(address, live, wanted)?,
        None => plan_create::<SecurityGroupRule>(address, wanted)?,
    })
}

/// Returns the resource at an address, if it is the only resource there and has this kind.
fn only_resource<'a>(observed: &'a Observed, address: &str, kind: &str) -> Option<(&'a Address, &'a Live)> {
    let (address, live) = observed.managed.get_key_value(address)?;
    match live.as_slice() {
        [live] if live.kind == kind => Some((address, live)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{port_rules, web_services};
    use pb_engine::{Action, Address, Live, Observed};
    use serde_json::json;

    fn add(observed: &mut Observed, address: &str, kind: &str, spec: serde_json::Value) {
        let attrs = match kind {
            "ecs.service" => json!({
                "arn": address, "name": spec["name"], "cluster": "c", "deployment": "d", "task_definition": "t:1",
            }),
            _ => json!({ "id": address, "group_id": spec["group_id"], "direction": spec["direction"] }),
        };
        let live = Live { kind: kind.to_owned(), spec, attrs, ready: true };
        observed.managed.entry(Address::new(address).unwrap()).or_default().push(live);
    }

    fn rule(observed: &mut Observed, address: &str, direction: &str, port: u16) {
        let (group, peer) = if direction == "egress" { ("sg-lb", "sg-flask") } else { ("sg-flask", "sg-lb") };
        let spec = json!({
            "group_id": group, "direction": direction, "protocol": "tcp", "from_port": port, "to_port": port,
            "peer": peer, "description": "", "tags": {},
        });
        add(observed, address, "ec2.security_group_rule", spec);
    }

    fn service(observed: &mut Observed, key: &str, port: u16) {
        let spec = json!({
            "name": key, "cluster": "c", "task_definition": "t:1", "desired_count": 1, "launch_type": "FARGATE",
            "subnets": ["subnet-1"], "security_groups": ["sg-flask"], "assign_public_ip": true,
            "load_balancers": [{ "target_group_arn": "arn", "container": key, "port": port }],
            "health_check_grace_seconds": 0, "min_healthy_percent": 100, "max_percent": 200,
            "circuit_breaker": { "enable": true, "rollback": true, "threshold": null },
            "propagate_tags": "SERVICE", "managed_tags": true, "execute_command": false, "status": "ACTIVE",
            "failed": false, "tags": {},
        });
        add(observed, &format!("fargate/{key}"), "ecs.service", spec);
    }

    /// Returns the addresses of the rules that are opened and closed. `api` is the port that a step gives to
    /// `fargate/api`.
    fn changed(observed: &Observed, api: Option<u16>) -> (Vec<String>, Vec<String>) {
        let address = Address::new("fargate/api").unwrap();
        let steps = api.map(|port| {
            let live = observed.managed[&address].first().unwrap();
            let mut after = live.spec.clone();
            after["load_balancers"][0]["port"] = port.into();
            pb_engine::Step {
                after: Some(after),
                ..pb_engine::Step::new(address.clone(), "ecs.service", Action::Update)
            }
        });
        let services = web_services(observed, steps.as_slice()).unwrap();
        let (opened, closed) = port_rules(observed, &services).unwrap();
        let addresses = |steps: Vec<pb_engine::Step>| steps.iter().map(|step| step.address.to_string()).collect();
        (addresses(opened), addresses(closed))
    }

    #[test]
    fn security_group_rules_follow_service_ports() {
        let mut observed = Observed::default();
        for (address, direction) in [("net/lb_out_flask", "egress"), ("net/flask_in_lb", "ingress")] {
            rule(&mut observed, address, direction, 8000);
        }
        service(&mut observed, "flask", 8000);
        assert_eq!(changed(&observed, None), (vec![], vec![]));
        service(&mut observed, "api", 9001);
        for (address, direction) in [("net/lb_out_web_9001", "egress"), ("net/flask_in_lb_9001", "ingress")] {
            rule(&mut observed, address, direction, 9001);
        }
        rule(&mut observed, "net/lb_out_web_7000", "egress", 7000);
        assert_eq!(changed(&observed, None), (vec![], vec![]), "a service without an image already has its rule");
        let both = |port| [format!("net/flask_in_lb_{port}"), format!("net/lb_out_web_{port}")].to_vec();
        assert_eq!(changed(&observed, Some(9000)), (both(9000), both(9001)));
    }

    #[test]
    fn port_of_an_earlier_revision_is_opened_unless_it_is_open() {
        let mut observed = Observed::default();
        for (address, direction) in [("net/lb_out_flask", "egress"), ("net/flask_in_lb", "ingress")] {
            rule(&mut observed, address, direction, 8000);
        }
        service(&mut observed, "flask", 5050);
        let both = ["net/flask_in_lb", "net/lb_out_flask"].map(str::to_owned).to_vec();
        assert_eq!(changed(&observed, None), (both, vec![]));
        rule(&mut observed, "net/lb_out_flask", "egress", 5050);
        assert_eq!(changed(&observed, None), (vec!["net/flask_in_lb".to_owned()], vec![]));
    }
}
