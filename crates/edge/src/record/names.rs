//! Normalization of the names that Route 53 returns.

/// Returns a name in its normalized form: lower case, no trailing dot, no octal escapes (`\052` is `*`).
/// (Route 53 developer guide: DNS domain name format)
pub(crate) fn plain_name(name: &str) -> String {
    let mut plain = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(at) = rest.find('\\') {
        plain.push_str(&rest[..at]);
        let code = rest.get(at + 1..at + 4).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match code {
            Some(code) => {
                plain.push(char::from(code));
                rest = &rest[at + 4..];
            }
            None => {
                plain.push('\\');
                rest = &rest[at + 1..];
            }
        }
    }
    plain.push_str(rest);
    plain.trim_end_matches('.').to_lowercase()
}

/// Returns the name of an alias target in its normalized form, without the prefix `dualstack.`, which the AWS console
/// adds to the name of a load balancer.
pub(crate) fn target_name(name: &str) -> String {
    let plain = plain_name(name);
    plain.strip_prefix("dualstack.").map_or_else(|| plain.clone(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::{plain_name, target_name};

    #[test]
    fn dns_name_is_normalized() {
        for (given, plain) in [
            ("Staging.OSPCAPI.org.", "staging.ospcapi.org"),
            ("\\052.example.org.", "*.example.org"),
            ("a\\137b.example.org", "a_b.example.org"),
            ("odd\\9.org", "odd\\9.org"),
            ("ends\\", "ends\\"),
            ("\\05é.org", "\\05é.org"),
        ] {
            assert_eq!(plain_name(given), plain, "{given}");
        }
        let lb = "staging-public-1.us-east-2.elb.amazonaws.com";
        assert_eq!(target_name("dualstack.Staging-public-1.us-east-2.elb.amazonaws.com."), lb);
    }
}
