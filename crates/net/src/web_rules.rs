//! Rules that allow requests from the load balancer to web tasks: a pair of an outbound and an inbound rule for each
//! port.

use crate::names;
use crate::names::is_web_rule;
use crate::rule::{Direction, SecurityGroupRuleSpec};
use pb_engine::Address;
use std::collections::{BTreeMap, BTreeSet};

/// Returns the rules for web services on the ports `main` and `others`, derived from an existing pair of rules; `None`
/// if there is no such pair.
#[must_use]
pub fn web_rules(
    live: &BTreeMap<Address, SecurityGroupRuleSpec>,
    main: u16,
    others: &BTreeSet<u16>,
) -> Option<BTreeMap<Address, SecurityGroupRuleSpec>> {
    let one = |direction: Direction| {
        let mut rules = live.iter().filter(|(address, rule)| is_web_rule(address) && rule.direction == direction);
        rules.next().map(|(_, rule)| rule)
    };
    let pair = [one(Direction::Egress)?, one(Direction::Ingress)?];
    let mut rules = BTreeMap::new();
    let mut add = |addresses: [String; 2], port: u16| {
        for (address, rule) in addresses.into_iter().zip(pair) {
            let address = Address::new(address).ok()?;
            let mut rule = live.get(&address).unwrap_or(rule).clone();
            (rule.from_port, rule.to_port) = (port.into(), port.into());
            rule.tags.insert("Name".to_owned(), names::label(address.as_str()).to_owned());
            rules.insert(address, rule);
        }
        Some(())
    };
    add(names::WEB_RULES.map(str::to_owned), main)?;
    others.iter().filter(|port| **port != main).try_for_each(|port| add(names::other_web_rules(*port), *port))?;
    Some(rules)
}

#[cfg(test)]
mod tests {
    use super::web_rules;
    use crate::rule::{Direction, SecurityGroupRuleSpec};
    use pb_engine::Address;
    use std::collections::{BTreeMap, BTreeSet};

    fn rule(direction: Direction, group: &str, peer: &str) -> SecurityGroupRuleSpec {
        SecurityGroupRuleSpec {
            group_id: group.to_owned(),
            direction,
            protocol: "tcp".to_owned(),
            from_port: 8000,
            to_port: 8000,
            peer: peer.to_owned(),
            description: "to Flask".to_owned(),
            tags: BTreeMap::new(),
        }
    }

    #[test]
    fn web_rules_for_other_ports_reuse_the_existing_groups() {
        let address = |text: &str| Address::new(text).unwrap();
        let mut live = BTreeMap::from([
            (address("net/lb_out_flask"), rule(Direction::Egress, "sg-lb", "sg-flask")),
            (address("net/flask_in_lb"), rule(Direction::Ingress, "sg-flask", "sg-lb")),
            (address("net/lb_in_80_any"), rule(Direction::Ingress, "sg-lb", "0.0.0.0/0")),
        ]);
        let rules = web_rules(&live, 5050, &BTreeSet::from([5050, 8080])).unwrap();
        let shown: Vec<String> = rules
            .iter()
            .map(|(at, rule)| format!("{at} {} {} {} {}", rule.group_id, rule.peer, rule.from_port, rule.tags["Name"]))
            .collect();
        assert_eq!(
            shown,
            [
                "net/flask_in_lb sg-flask sg-lb 5050 flask_in_lb",
                "net/flask_in_lb_8080 sg-flask sg-lb 8080 flask_in_lb_8080",
                "net/lb_out_flask sg-lb sg-flask 5050 lb_out_flask",
                "net/lb_out_web_8080 sg-lb sg-flask 8080 lb_out_web_8080",
            ]
        );
        live.remove(&address("net/lb_out_flask"));
        assert_eq!(web_rules(&live, 5050, &BTreeSet::new()), None);
    }
}
