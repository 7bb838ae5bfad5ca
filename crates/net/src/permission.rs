//! Conversion of a rule's spec into the API's types for creating and for modifying a rule.

use aws_sdk_ec2::types::{IpPermission, IpRange, Ipv6Range, PrefixListId, SecurityGroupRuleRequest, UserIdGroupPair};

use crate::rule::SecurityGroupRuleSpec;

/// Value of the protocol field of a rule that covers all protocols.
pub(crate) const ALL: &str = "-1";

/// Returns the description as the API expects it: `None` if it is empty.
fn description(spec: &SecurityGroupRuleSpec) -> Option<String> {
    Some(spec.description.clone()).filter(|text| !text.is_empty())
}

/// Returns the ports as the API expects them: `None` if the rule covers all protocols.
fn ports(spec: &SecurityGroupRuleSpec) -> (Option<i32>, Option<i32>) {
    if spec.protocol == ALL { (None, None) } else { (Some(spec.from_port), Some(spec.to_port)) }
}

/// Returns the permission with which the create call creates the rule.
pub(crate) fn permission(spec: &SecurityGroupRuleSpec) -> IpPermission {
    let (from, to) = ports(spec);
    let permission = IpPermission::builder().ip_protocol(&spec.protocol).set_from_port(from).set_to_port(to);
    let (peer, description) = (spec.peer.as_str(), description(spec));
    match peer {
        _ if peer.starts_with("sg-") => {
            let group = UserIdGroupPair::builder().group_id(peer).set_description(description).build();
            permission.user_id_group_pairs(group)
        }
        _ if peer.starts_with("pl-") => {
            let list = PrefixListId::builder().prefix_list_id(peer).set_description(description).build();
            permission.prefix_list_ids(list)
        }
        _ if peer.contains(':') => {
            let range = Ipv6Range::builder().cidr_ipv6(peer).set_description(description).build();
            permission.ipv6_ranges(range)
        }
        _ => permission.ip_ranges(IpRange::builder().cidr_ip(peer).set_description(description).build()),
    }
    .build()
}

/// Returns all values of a rule for `ModifySecurityGroupRules`, because the call removes values that are left out.
pub(crate) fn request(spec: &SecurityGroupRuleSpec) -> SecurityGroupRuleRequest {
    let (from, to) = ports(spec);
    let request = SecurityGroupRuleRequest::builder().ip_protocol(&spec.protocol);
    let request = request.set_from_port(from).set_to_port(to).set_description(description(spec));
    let peer = spec.peer.as_str();
    match peer {
        _ if peer.starts_with("sg-") => request.referenced_group_id(peer),
        _ if peer.starts_with("pl-") => request.prefix_list_id(peer),
        _ if peer.contains(':') => request.cidr_ipv6(peer),
        _ => request.cidr_ipv4(peer),
    }
    .build()
}
