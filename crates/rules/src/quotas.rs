//! Quotas of an account, and the use of them that a plan comes to.
//!
//! AWS increases quotas on request, and does not decrease the ones below, so an account has the default at least.
//! (Service Quotas API: RequestServiceQuotaIncrease)

use crate::{load_balancer, network};

/// A quota, as Service Quotas names it.
#[derive(Debug, PartialEq, Eq)]
pub struct Quota {
    /// The service: `vpc`.
    pub service: &'static str,
    /// The code: `L-0EA8095F`.
    pub code: &'static str,
    /// The name: `Inbound or outbound rules per security group`.
    pub name: &'static str,
    /// The value of an account that has not requested more.
    pub default: usize,
    /// Set if AWS increases it on request.
    pub adjustable: bool,
}

/// Rules of a security group in one direction. IPv4 and IPv6 count apart, and a rule that names a group counts for
/// both. The quota multiplied by that for groups per network interface, 5 to 16, is 1,000 at most, so it never falls
/// below 62.
/// (VPC user guide: Amazon VPC quotas, Security group size)
pub const RULES_PER_GROUP: Quota = Quota {
    service: "vpc",
    code: "L-0EA8095F",
    name: "Inbound or outbound rules per security group",
    default: network::RULES_MAX,
    adjustable: true,
};

/// Target groups of all load balancers in a region. (Elastic Load Balancing: Quotas for your Application Load
/// Balancers)
pub const TARGET_GROUPS: Quota = Quota {
    service: "elasticloadbalancing",
    code: "L-B22855CB",
    name: "Target Groups per Region",
    default: 3000,
    adjustable: true,
};

/// Rules of all listeners of a load balancer besides the default ones.
/// (Elastic Load Balancing: Quotas for your Application Load Balancers)
pub const RULES_PER_LOAD_BALANCER: Quota = Quota {
    service: "elasticloadbalancing",
    code: "L-7EED9B64",
    name: "Rules per Application Load Balancer",
    default: load_balancer::RULES_MAX,
    adjustable: true,
};

/// Target groups to which the listeners and rules of a load balancer lead. One that several of them name counts once.
/// (Elastic Load Balancing: Quotas for your Application Load Balancers; API: TooManyUniqueTargetGroupsPerLoadBalancer)
pub const TARGET_GROUPS_PER_LOAD_BALANCER: Quota = Quota {
    service: "elasticloadbalancing",
    code: "L-822D1B1B",
    name: "Target Groups per Application Load Balancer",
    default: load_balancer::RULES_MAX,
    adjustable: false,
};

/// The use of a quota at the fullest moment of a plan: all that is created exists, and nothing was deleted yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    /// The quota.
    pub quota: &'static Quota,
    /// The resource or region that has the quota: `security group staging-ecs-flask-sg (sg-1)`.
    pub of: String,
    /// The resources that count, in the plural: `inbound rules`.
    pub what: &'static str,
    /// Their number now, including those of others.
    pub now: usize,
    /// The number that the plan creates.
    pub more: usize,
}

impl Usage {
    /// Returns the number at the fullest moment.
    #[must_use]
    pub fn peak(&self) -> usize {
        self.now + self.more
    }

    /// Returns whether the use goes beyond the default, so that it depends on the account whether AWS refuses it.
    #[must_use]
    pub fn exceeds_default(&self) -> bool {
        self.peak() > self.quota.default
    }

    /// Returns why AWS would refuse the plan in an account with this `limit`, and the remedy; nothing if it fits.
    /// `note` tells where the limit comes from if it is not the account's own.
    #[must_use]
    pub fn refusal(&self, limit: f64, note: Option<&str>) -> Option<String> {
        let peak = self.peak();
        if f64::from(u32::try_from(peak).unwrap_or(u32::MAX)) <= limit {
            return None;
        }
        let Self { quota: Quota { service, code, name, .. }, of, what, now, .. } = self;
        let limit = note.map_or_else(|| limit.to_string(), |note| format!("{limit} ({note})"));
        let increase = if self.quota.adjustable {
            format!(
                ", or request an increase: aws service-quotas request-service-quota-increase --service-code {service} \
                 --quota-code {code} --desired-value {peak}"
            )
        } else {
            "; AWS does not increase this quota".to_owned()
        };
        Some(format!(
            "it has to be created, but {of} has {now} of {limit} {what}, and would have {peak} before this plan deletes \
             any (quota {code}, {name}); delete {what} that are not needed{increase}"
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
        assert_eq!(inbound(59, 1).refusal(60.0, None), None);
        assert_eq!((inbound(59, 1).exceeds_default(), inbound(60, 1).exceeds_default()), (false, true));
        assert_eq!(
            inbound(60, 1).refusal(60.0, None).unwrap(),
            "it has to be created, but security group staging-ecs-flask-sg (sg-1) has 60 of 60 inbound rules, and would \
             have 61 before this plan deletes any (quota L-0EA8095F, Inbound or outbound rules per security group); \
             delete inbound rules that are not needed, or request an increase: aws service-quotas \
             request-service-quota-increase --service-code vpc --quota-code L-0EA8095F --desired-value 61"
        );
        assert_eq!(inbound(60, 1).refusal(61.0, None), None);
    }

    #[test]
    fn note_about_the_limit_is_in_the_refusal() {
        let refusal = inbound(60, 2).refusal(60.0, Some("the default")).unwrap();
        assert!(refusal.contains("has 60 of 60 (the default) inbound rules, and would have 62"), "{refusal}");
    }

    #[test]
    fn fixed_quota_suggests_no_increase() {
        let of = "load balancer staging-public".to_owned();
        let usage = Usage { quota: &TARGET_GROUPS_PER_LOAD_BALANCER, of, what: "target groups", now: 100, more: 1 };
        let refusal = usage.refusal(100.0, None).unwrap();
        let remedy = "delete target groups that are not needed; AWS does not increase this quota";
        assert!(refusal.ends_with(remedy), "{refusal}");
    }
}
