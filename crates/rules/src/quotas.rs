//! Quotas of an account, and their usage by a plan.
//!
//! AWS increases quotas on request, and does not decrease the quotas in this module, so every account has at least
//! their default values. (Service Quotas API: RequestServiceQuotaIncrease)

use crate::{load_balancer, network};

/// Quota, with the names that Service Quotas uses.
#[derive(Debug, PartialEq, Eq)]
pub struct Quota {
    /// Service code, such as `vpc`.
    pub service: &'static str,
    /// Quota code, such as `L-0EA8095F`.
    pub code: &'static str,
    /// Quota name, such as `Inbound or outbound rules per security group`.
    pub name: &'static str,
    /// Value for an account that has not requested an increase.
    pub default: usize,
    /// `true` if AWS increases the quota on request.
    pub adjustable: bool,
}

/// Quota of the rules of a security group in one direction. IPv4 and IPv6 rules are counted separately; a rule that
/// names a group counts for both versions. This quota multiplied by the quota of groups per network interface, which is
/// 5 to 16, is at most 1,000, so this quota never falls below 62. (VPC user guide: Amazon VPC quotas, Security group
/// size)
pub const RULES_PER_GROUP: Quota = Quota {
    service: "vpc",
    code: "L-0EA8095F",
    name: "Inbound or outbound rules per security group",
    default: network::RULES_MAX,
    adjustable: true,
};

/// Quota of the VPCs in a region. (VPC user guide: Amazon VPC quotas)
pub const VPCS: Quota =
    Quota { service: "vpc", code: "L-F678F1CE", name: "VPCs per Region", default: 5, adjustable: true };

/// Quota of the internet gateways in a region. (VPC user guide: Amazon VPC quotas)
pub const INTERNET_GATEWAYS: Quota =
    Quota { service: "vpc", code: "L-A4707A72", name: "Internet gateways per Region", default: 5, adjustable: true };

/// Quota of the application load balancers in a region. (Elastic Load Balancing: Quotas for your Application Load
/// Balancers)
pub const LOAD_BALANCERS: Quota = Quota {
    service: "elasticloadbalancing",
    code: "L-53DA6B97",
    name: "Application Load Balancers per Region",
    default: 50,
    adjustable: true,
};

/// Quota of the cache nodes in a region. (AWS General Reference: Amazon ElastiCache endpoints and quotas)
pub const CACHE_NODES: Quota =
    Quota { service: "elasticache", code: "L-DFE45DF3", name: "Nodes per Region", default: 300, adjustable: true };

/// Quota of the certificates of a region that AWS issues, including expired ones. (ACM user guide: Quotas)
pub const CERTIFICATES: Quota =
    Quota { service: "acm", code: "L-F141DD1D", name: "ACM certificates", default: 2500, adjustable: true };

/// Quota of the target groups of all load balancers in a region. (Elastic Load Balancing: Quotas for your Application
/// Load Balancers)
pub const TARGET_GROUPS: Quota = Quota {
    service: "elasticloadbalancing",
    code: "L-B22855CB",
    name: "Target Groups per Region",
    default: 3000,
    adjustable: true,
};

/// Quota of the rules of all listeners of a load balancer, without the default rules. (Elastic Load Balancing: Quotas
/// for your Application Load Balancers)
pub const RULES_PER_LOAD_BALANCER: Quota = Quota {
    service: "elasticloadbalancing",
    code: "L-7EED9B64",
    name: "Rules per Application Load Balancer",
    default: load_balancer::RULES_MAX,
    adjustable: true,
};

/// Quota of the target groups to which the listeners and rules of a load balancer forward. A target group that several
/// listeners or rules use counts once. (Elastic Load Balancing: Quotas for your Application Load Balancers; API:
/// TooManyUniqueTargetGroupsPerLoadBalancer)
pub const TARGET_GROUPS_PER_LOAD_BALANCER: Quota = Quota {
    service: "elasticloadbalancing",
    code: "L-822D1B1B",
    name: "Target Groups per Application Load Balancer",
    default: load_balancer::RULES_MAX,
    adjustable: false,
};

/// Peak usage of a quota while a plan is applied: all new resources exist, and no old resource is deleted yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    /// Quota that the resources count toward.
    pub quota: &'static Quota,
    /// Resource or region to which the quota applies, such as `security group staging-ecs-flask-sg (sg-1)`.
    pub of: String,
    /// Counted resources, in the plural, such as `inbound rules`.
    pub what: &'static str,
    /// Current number of these resources, including unmanaged ones.
    pub now: usize,
    /// Number of these resources that the plan creates.
    pub more: usize,
}

impl Usage {
    /// Returns the peak number of these resources.
    #[must_use]
    pub fn peak(&self) -> usize {
        self.now + self.more
    }

    /// Returns whether the peak exceeds the default. If so, the account's own quota has to be looked up.
    #[must_use]
    pub fn exceeds_default(&self) -> bool {
        self.peak() > self.quota.default
    }

    /// Returns the reason why AWS would refuse the plan in an account with this `limit`, and the remedy; `None` if the
    /// peak does not exceed the limit. `note` names the source of the limit if the limit is not the account's own
    /// value. The remedy contains a command for `region`.
    #[must_use]
    pub fn refusal(&self, limit: f64, note: Option<&str>, region: &str) -> Option<String> {
        let peak = self.peak();
        if f64::from(u32::try_from(peak).unwrap_or(u32::MAX)) <= limit {
            return None;
        }
        let Self { quota: Quota { service, code, name, .. }, of, what, now, .. } = self;
        let limit = note.map_or_else(|| limit.to_string(), |note| format!("{limit} ({note})"));
        let increase = if self.quota.adjustable {
            format!(
                ", or request an increase: aws service-quotas request-service-quota-increase --service-code {service} \
                 --quota-code {code} --desired-value {peak} --region {region}"
            )
        } else {
            "; AWS does not increase this quota".to_owned()
        };
        Some(format!(
            "quota exceeded: {of} has {now} of {limit} {what}, and would have {peak} before this plan deletes any \
             (quota {code}, {name}); delete {what} that are not needed{increase}"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::{RULES_PER_GROUP, TARGET_GROUPS_PER_LOAD_BALANCER, Usage};

    fn inbound(now: usize, more: usize) -> Usage {
        let of = "security group staging-ecs-flask-sg (sg-1)".to_owned();
        Usage { quota: &RULES_PER_GROUP, of, what: "inbound rules", now, more }
    }

    #[test]
    fn usage_beyond_the_limit_is_refused_with_a_remedy() {
        assert_eq!(inbound(59, 1).refusal(60.0, None, "us-east-2"), None);
        assert_eq!((inbound(59, 1).exceeds_default(), inbound(60, 1).exceeds_default()), (false, true));
        assert_eq!(
            inbound(60, 1).refusal(60.0, None, "us-east-2").unwrap(),
            "quota exceeded: security group staging-ecs-flask-sg (sg-1) has 60 of 60 inbound rules, and would have 61 \
             before this plan deletes any (quota L-0EA8095F, Inbound or outbound rules per security group); delete \
             inbound rules that are not needed, or request an increase: aws service-quotas \
             request-service-quota-increase --service-code vpc --quota-code L-0EA8095F --desired-value 61 \
             --region us-east-2"
        );
        assert_eq!(inbound(60, 1).refusal(61.0, None, "us-east-2"), None);
    }

    #[test]
    fn note_about_the_limit_is_in_the_refusal() {
        let refusal = inbound(60, 2).refusal(60.0, Some("the default"), "us-east-2").unwrap();
        assert!(refusal.contains("has 60 of 60 (the default) inbound rules, and would have 62"), "{refusal}");
    }

    #[test]
    fn fixed_quota_suggests_no_increase() {
        let of = "load balancer staging-public".to_owned();
        let usage = Usage { quota: &TARGET_GROUPS_PER_LOAD_BALANCER, of, what: "target groups", now: 100, more: 1 };
        let refusal = usage.refusal(100.0, None, "us-east-2").unwrap();
        let remedy = "delete target groups that are not needed; AWS does not increase this quota";
        assert!(refusal.ends_with(remedy), "{refusal}");
    }
}
