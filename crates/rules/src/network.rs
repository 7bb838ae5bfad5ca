//! CIDR blocks, subnets, Availability Zones, ports and security group rules.

use ipnet::Ipv4Net;

use crate::text::between;
use crate::{Verdict, Violation};

/// Default quota of rules per security group and direction. (VPC user guide: Amazon VPC quotas)
pub const RULES_MAX: usize = 60;

/// CIDR blocks whose addresses hosts cannot use. (RFC 6890)
const UNUSABLE: [&str; 4] = ["0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3"];

/// Parses an IPv4 CIDR block in the form in which AWS returns it, without host bits. (VPC user guide: VPC CIDR blocks)
pub fn cidr(text: &str) -> Result<Ipv4Net, Violation> {
    let Ok(net) = text.parse::<Ipv4Net>() else {
        let alone = match text.parse::<std::net::Ipv4Addr>() {
            Ok(address) => format!("; for a single address, write `{address}/32`"),
            Err(_) => String::new(),
        };
        return Err(Violation::new(format!("`{text}` is not an IPv4 CIDR block, such as `10.0.0.0/16`{alone}")));
    };
    if net.trunc() != net {
        return Err(Violation::new(format!("`{text}` has host bits set after its /{} prefix", net.prefix_len()))
            .with_suggestion(net.trunc()));
    }
    Ok(net)
}

/// Checks the CIDR block of a VPC: /16 to /28, and not in a block that hosts cannot use. (EC2 API: CreateVpc)
pub fn vpc_cidr(vpc: Ipv4Net) -> Verdict {
    size("a VPC", vpc)?;
    for unusable in UNUSABLE {
        if cidr(unusable).is_ok_and(|net| net.contains(&vpc)) {
            return Err(Violation::new(format!("`{vpc}` is in {unusable}, which hosts cannot use")));
        }
    }
    Ok(())
}

/// Checks the CIDR block of a subnet: /16 to /28, and inside the VPC's block. (EC2 API: CreateSubnet)
pub fn subnet_cidr(subnet: Ipv4Net, vpc: Ipv4Net) -> Verdict {
    size("a subnet", subnet)?;
    if vpc.contains(&subnet) {
        return Ok(());
    }
    Err(Violation::new(format!("`{subnet}` is not inside the VPC's block `{vpc}`")))
}

/// Checks the CIDR block of a load balancer's subnet: /27 or larger, so that eight addresses can be free. (Elastic Load
/// Balancing user guide: Subnets for your load balancer)
pub fn load_balancer_subnet_cidr(subnet: Ipv4Net) -> Verdict {
    if subnet.prefix_len() <= 27 {
        return Ok(());
    }
    let wider = Ipv4Net::new(subnet.addr(), 27).map_or(subnet, |net| net.trunc());
    Err(Violation::new(format!("`{subnet}` is too small: a load balancer needs a subnet of /27 or larger"))
        .with_suggestion(wider))
}

/// Checks that two subnets of a VPC do not overlap. (EC2 API: CreateSubnet, `InvalidSubnet.Conflict`)
pub fn disjoint(one: Ipv4Net, other: Ipv4Net) -> Verdict {
    if one.contains(&other.network()) || other.contains(&one.network()) {
        return Err(Violation::new(format!("`{one}` overlaps with the other subnet, `{other}`")));
    }
    Ok(())
}

/// Returns two subnets inside a VPC's block that are as large as possible, up to /24; `None` if the block is too small
/// for two subnets of a load balancer. Leaves the first part of the block free if there is room.
#[must_use]
pub fn two_subnets(vpc: Ipv4Net) -> Option<[Ipv4Net; 2]> {
    let prefix = vpc.prefix_len().checked_add(2)?.clamp(24, 27);
    let mut subnets = vpc.subnets(prefix).ok()?;
    let skipped = usize::from(vpc.prefix_len() + 2 <= prefix);
    let pair = [subnets.nth(skipped)?, subnets.next()?];
    vpc_cidr(vpc).is_ok().then_some(pair)
}

fn size(what: &str, net: Ipv4Net) -> Verdict {
    if (16..=28).contains(&net.prefix_len()) {
        return Ok(());
    }
    Err(Violation::new(format!("`{net}` is a /{}; {what} must be /16 to /28", net.prefix_len())))
}

/// Checks the name of an Availability Zone of the region, such as `us-east-2a`. (EC2 API: DescribeAvailabilityZones)
pub fn zone(zone: &str, region: &str) -> Verdict {
    let letter = zone.strip_prefix(region).unwrap_or_default();
    if matches!(letter.as_bytes(), [b'a'..=b'z']) {
        return Ok(());
    }
    Err(Violation::new(format!("`{zone}` is not an Availability Zone of {region}, such as `{region}a`")))
}

/// Checks the zones of a load balancer's subnets, which must be two different zones. (Elastic Load Balancing API:
/// CreateLoadBalancer)
pub fn zones(zones: &[String]) -> Verdict {
    match zones {
        [one, other] if one == other => {
            Err(Violation::new(format!("`{one}` is listed twice; a load balancer needs two different zones")))
        }
        [_, _] => Ok(()),
        _ => Err(Violation::new(format!(
            "expected two zones, one for the tasks and a second one for the load balancer; got {}",
            zones.len()
        ))),
    }
}

/// Checks a TCP or UDP port. (EC2 API: IpPermission; ECS API: PortMapping)
pub fn port(port: i64) -> Verdict {
    // There is no suggestion, because the nearest valid port would not be a useful one.
    between(port, 1, 65535, "").map_err(|violation| Violation::new(violation.to_string()))
}

/// Checks the number of a security group's rules in one direction. (VPC user guide: Amazon VPC quotas)
pub fn rule_count(count: usize) -> Verdict {
    if count <= RULES_MAX {
        return Ok(());
    }
    Err(Violation::new(format!(
        "{count} rules are too many; a security group can have at most {RULES_MAX} per direction"
    )))
}

/// Checks that no rule occurs twice. (EC2 API: AuthorizeSecurityGroupEgress, `InvalidPermission.Duplicate`)
pub fn distinct_rules<'a>(rules: impl Iterator<Item = (&'a str, u16, Ipv4Net)>) -> Verdict {
    let mut seen = Vec::new();
    for rule in rules {
        if seen.contains(&rule) {
            let (protocol, port, cidr) = rule;
            return Err(Violation::new(format!("the rule {protocol} {port} for {cidr} is listed twice")));
        }
        seen.push(rule);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn net(text: &str) -> Ipv4Net {
        cidr(text).unwrap()
    }

    #[test]
    fn cidr_notation() {
        for bad in ["", "10.0.0.0", "10.0.0.0/33", "10.0.0/16", "::/0", "a/8", "10.0.0.256/32"] {
            assert!(cidr(bad).is_err(), "{bad}");
        }
        let suggested = |text| cidr(text).unwrap_err().suggestion().map(str::to_owned);
        assert_eq!(suggested("10.0.1.7/24"), Some("10.0.1.0/24".to_owned()));
        assert_eq!(suggested("10.0.1.7"), None);
    }

    #[test]
    fn vpcs() {
        for good in ["10.0.0.0/16", "192.168.0.0/28", "100.64.0.0/16", "8.8.0.0/16"] {
            assert_eq!(vpc_cidr(net(good)), Ok(()), "{good}");
        }
        for bad in ["10.0.0.0/15", "10.0.0.0/29", "127.0.0.0/16", "169.254.0.0/16", "240.0.0.0/16"] {
            assert!(vpc_cidr(net(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn subnets() {
        let vpc = net("10.0.0.0/16");
        for good in ["10.0.1.0/24", "10.0.0.0/16", "10.0.255.240/28"] {
            assert_eq!(subnet_cidr(net(good), vpc), Ok(()), "{good}");
        }
        for bad in ["10.1.0.0/24", "10.0.0.0/29", "10.0.0.0/8"] {
            assert!(subnet_cidr(net(bad), vpc).is_err(), "{bad}");
        }
        assert_eq!(load_balancer_subnet_cidr(net("10.0.2.0/27")), Ok(()));
        let small = load_balancer_subnet_cidr(net("10.0.2.16/28")).unwrap_err();
        assert_eq!(small.suggestion(), Some("10.0.2.0/27"));
    }

    #[test]
    fn availability_zones() {
        assert_eq!(zone("us-east-2b", "us-east-2"), Ok(()));
        for bad in ["us-east-2", "us-east-1a", "us-east-2A", "us-east-2ab", ""] {
            assert!(zone(bad, "us-east-2").is_err(), "{bad}");
        }
        let list = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        assert_eq!(zones(&list(&["a", "b"])), Ok(()));
        for bad in [&["a", "a"][..], &["a"], &["a", "b", "c"]] {
            assert!(zones(&list(bad)).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn ports_and_counts() {
        for good in [1, 80, 65535] {
            assert_eq!(port(good), Ok(()));
        }
        for bad in [0, -1, 65536] {
            assert!(port(bad).is_err());
        }
        assert_eq!(rule_count(60), Ok(()));
        assert!(rule_count(61).is_err());
        let (one, other) = (("tcp", 80, net("10.0.0.0/16")), ("udp", 80, net("10.0.0.0/16")));
        assert_eq!(distinct_rules([one, other].into_iter()), Ok(()));
        assert!(distinct_rules([one, other, one].into_iter()).is_err());
    }

    proptest! {
        #[test]
        fn disjoint_is_symmetric_and_irreflexive(
            a in any::<u32>(), b in any::<u32>(), len_a in 16u8..=28, len_b in 16u8..=28,
        ) {
            let one = Ipv4Net::new(a.into(), len_a).unwrap().trunc();
            let other = Ipv4Net::new(b.into(), len_b).unwrap().trunc();
            prop_assert_eq!(disjoint(one, other).is_ok(), disjoint(other, one).is_ok());
            prop_assert!(disjoint(one, one).is_err());
        }

        #[test]
        fn suggested_block_is_valid(address in any::<u32>(), len in 0u8..=32) {
            let text = Ipv4Net::new(address.into(), len).unwrap().to_string();
            if let Err(violation) = cidr(&text) {
                let suggestion = violation.suggestion().unwrap().trim_matches('"').to_owned();
                prop_assert!(cidr(&suggestion).is_ok());
            }
        }
    }
}
