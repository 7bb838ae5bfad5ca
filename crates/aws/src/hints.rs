//! Hints for refusals whose code or message shows what to do.

use pb_engine::{Class, Failure};

/// Text before the encoded details that EC2 appends to a denial. (EC2 API: UnauthorizedOperation)
const ENCODED: &str = "Encoded authorization failure message: ";

/// Refusals that AWS reports with a general error code, by a part of their message, with their hints.
const REFUSALS: &[(&str, &str)] = &[
    (
        "Subnets can currently only be created in the following availability zones",
        "set `zones` under `[network]` to two of the zones that the message lists",
    ),
    (
        "currently does not support creating load balancers",
        "AWS has not enabled load balancers for this account yet: open a case with AWS Support, then run the same \
         command again",
    ),
    ("The tag policy does not allow", "a tag policy of your organization restricts this tag; change it under `[tags]`"),
];

/// Returns the failure with a hint, if its code or message shows what to do.
pub(crate) fn explain(failure: Failure) -> Failure {
    if failure.class == Class::Denied {
        return explain_denial(failure);
    }
    if failure.is("InsufficientCacheClusterCapacity") {
        return failure.hint(
            "AWS has no capacity for this node type in the zone: run the same command again later, or change \
             `node_type` under `[redis]` or `zones` under `[network]`",
        );
    }
    match REFUSALS.iter().find(|(part, _)| failure.message.contains(part)) {
        Some((_, hint)) => failure.hint(*hint),
        None => failure,
    }
}

/// Returns a denial with a hint. Details that EC2 has encoded move from the message to the command that decodes them.
fn explain_denial(failure: Failure) -> Failure {
    let hint = denial(&failure.message);
    let Some((message, encoded)) = failure.message.split_once(ENCODED) else { return failure.hint(hint) };
    let decode = format!("aws sts decode-authorization-message --encoded-message {encoded}");
    let message = message.trim_end().to_owned();
    Failure { message, ..failure.clone() }.hint(format!("{hint}; for the details: `{decode}`"))
}

/// Returns the hint for a denial: who can allow the call depends on the policy that denies it. (IAM user guide:
/// Troubleshoot access denied error messages)
fn denial(message: &str) -> &'static str {
    let by = |policy: &str| {
        message.contains(&format!("explicit deny in a {policy}")) || message.contains(&format!("no {policy} allows"))
    };
    if by("service control policy") || by("resource control policy") {
        "a policy of your organization denies this call, which only an administrator of the organization can change"
    } else if by("permissions boundary") {
        "the permissions boundary of your AWS identity does not allow this call; an administrator must extend it"
    } else if by("session policy") {
        "the session policy of the assumed role does not allow this call; sign in without it, or extend it"
    } else if by("VPC endpoint policy") {
        "the policy of the VPC endpoint through which this call went does not allow it; extend that policy"
    } else if by("resource-based policy") {
        "the policy of the resource does not allow this call; extend that policy"
    } else if message.contains("explicit deny in an identity-based policy") {
        "a policy of your AWS identity denies this call; change its Deny statement"
    } else {
        "your AWS identity lacks this permission; add it to its policy"
    }
}

#[cfg(test)]
mod tests {
    use super::{denial, explain};
    use pb_engine::{Class, Failure};

    #[test]
    fn denial_hint_depends_on_the_policy() {
        let action = "service:Call";
        for (reason, expected) in [
            ("with an explicit deny in a service control policy", "organization"),
            ("because no service control policy allows the service:Call action", "organization"),
            ("with an explicit deny in a resource control policy", "organization"),
            ("with an explicit deny in a permissions boundary", "boundary"),
            ("because no permissions boundary allows the service:Call action", "boundary"),
            ("because no session policy allows the service:Call action", "session"),
            ("because no VPC endpoint policy allows the service:Call action", "endpoint"),
            ("with an explicit deny in a resource-based policy", "of the resource"),
            ("with an explicit deny in an identity-based policy", "Deny statement"),
            ("because no identity-based policy allows the service:Call action", "lacks this permission"),
            ("", "lacks this permission"),
        ] {
            let message = format!("User: arn:aws:iam::1:user/a is not authorized to perform: {action} {reason}");
            assert!(denial(&message).contains(expected), "{reason}");
        }
    }

    #[test]
    fn encoded_message_becomes_a_command() {
        let message = "You are not authorized. Encoded authorization failure message: aB-_1";
        let failure = explain(Failure::new(Class::Denied, "service:Call", message));
        assert_eq!(failure.message, "You are not authorized.");
        let hint = failure.hint.unwrap();
        assert!(hint.ends_with("`aws sts decode-authorization-message --encoded-message aB-_1`"), "{hint}");
    }

    #[test]
    fn other_refusals_keep_their_message() {
        let message = "The tag policy does not allow the specified value for the following tag key: 'team'.";
        let failure = explain(Failure::new(Class::Refused, "service:Call", message));
        assert_eq!(failure.message, message);
        assert!(failure.hint.unwrap().contains("`[tags]`"));
        assert_eq!(explain(Failure::new(Class::Refused, "service:Call", "Invalid name")).hint, None);
    }
}
