//! Subnets inside the CIDR block of a VPC, for a block that does not contain the default subnets.

use super::Setting;
use pb_rules::network;

/// Default subnets, in the order of [`KEYS`].
const DEFAULTS: [&str; 2] = ["10.0.1.0/24", "10.0.2.0/24"];

/// Keys of the subnets.
const KEYS: [&str; 2] = ["tasks_subnet", "balancer_subnet"];

/// Adds subnets that are inside the VPC's block, unless the default subnets are or the settings contain a subnet.
/// Returns a note about the added subnets.
pub fn add_subnets(settings: &mut Vec<Setting>) -> Option<String> {
    let is = |setting: &Setting, key: &str| setting.section == "network" && setting.key == key;
    if settings.iter().any(|setting| KEYS.iter().any(|key| is(setting, key))) {
        return None;
    }
    let block = settings.iter().find(|setting| is(setting, "cidr"))?;
    let vpc = network::cidr(block.value.trim_matches('"')).ok()?;
    let is_inside = |subnet: &str| network::cidr(subnet).is_ok_and(|subnet| network::subnet_cidr(subnet, vpc).is_ok());
    if DEFAULTS.into_iter().all(is_inside) {
        return None;
    }
    let subnets = network::two_subnets(vpc)?.map(|subnet| subnet.to_string());
    let origin = block.origin.clone();
    let place = origin.as_ref().map(|origin| format!(" of {origin}")).unwrap_or_default();
    for (key, subnet) in KEYS.into_iter().zip(&subnets) {
        let setting = Setting::text("network", key, subnet);
        settings.push(Setting { origin: origin.clone(), ..setting });
    }
    let [tasks, balancer] = subnets;
    Some(format!(
        "Chose the subnets {tasks} and {balancer} inside the block {vpc}{place}. If the network exists, set \
         network.tasks_subnet and network.balancer_subnet to its subnets instead"
    ))
}

#[cfg(test)]
mod tests {
    use super::{Setting, add_subnets};
    use crate::init::configuration;
    use pb_config::Config;

    #[test]
    fn subnets_are_inside_the_block_of_the_vpc() {
        for (block, expected) in [
            ("172.16.0.0/16", ["172.16.1.0/24", "172.16.2.0/24"]),
            ("10.1.0.0/20", ["10.1.1.0/24", "10.1.2.0/24"]),
            ("192.168.7.0/24", ["192.168.7.64/26", "192.168.7.128/26"]),
            ("192.168.7.64/26", ["192.168.7.64/27", "192.168.7.96/27"]),
        ] {
            let mut settings = vec![Setting::text("network", "cidr", block)];
            let note = add_subnets(&mut settings).unwrap();
            assert!(note.contains(expected[0]) && note.contains(expected[1]), "{note}");
            let config = Config::parse(&configuration(&settings), "new").unwrap_or_else(|error| panic!("{error}"));
            let network = &config.workspace("staging").unwrap().network;
            assert_eq!([network.tasks_subnet.to_string(), network.balancer_subnet.to_string()], expected);
        }
    }

    #[test]
    fn subnets_are_not_added_if_not_needed_or_impossible() {
        for block in ["10.0.0.0/16", "10.0.0.0/22", "10.9.0.0/27", "10.0.0.0/8", "nonsense"] {
            let mut settings = vec![Setting::text("network", "cidr", block)];
            assert_eq!(add_subnets(&mut settings), None, "{block}");
            assert_eq!(settings.len(), 1);
        }
        let mut settings = vec![
            Setting::text("network", "cidr", "10.9.0.0/16"),
            Setting::text("network", "tasks_subnet", "10.9.0.0/20"),
        ];
        assert_eq!(add_subnets(&mut settings), None);
    }
}
