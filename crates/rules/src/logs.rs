//! Names and retention of log groups.

use crate::text::{length, no_prefix, only};
use crate::{Verdict, Violation};

/// Retention periods that CloudWatch Logs offers, in days. (CloudWatch Logs API: PutRetentionPolicy)
pub const RETENTION_DAYS: [i64; 22] =
    [1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653];

/// Checks the name of a log group. (CloudWatch Logs API: CreateLogGroup)
pub fn log_group(name: &str) -> Verdict {
    let what = "a log group name";
    length(what, name, 1, 512)?;
    only(what, name, |c| c.is_ascii_alphanumeric() || "._-/#".contains(c), "letters, digits and ._-/#")?;
    no_prefix(what, name, "aws/")
}

/// Checks the retention period of log events, in days. (CloudWatch Logs API: PutRetentionPolicy)
pub fn retention_days(days: i64) -> Verdict {
    if RETENTION_DAYS.contains(&days) {
        return Ok(());
    }
    let nearest = RETENTION_DAYS.into_iter().min_by_key(|known| known.abs_diff(days)).unwrap_or_default();
    let known = RETENTION_DAYS.map(|known| known.to_string()).join(", ");
    Err(Violation::new(format!("CloudWatch Logs does not offer a retention of {days} days; valid: {known}"))
        .with_suggestion(nearest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn log_groups() {
        for good in ["production-pb_workers", "/ecs/a.b#c"] {
            assert_eq!(log_group(good), Ok(()), "{good}");
        }
        for bad in ["", "a b", "aws/x", "a:b"] {
            assert!(log_group(bad).is_err(), "{bad}");
        }
        assert!(log_group(&"x".repeat(513)).is_err());
    }

    #[test]
    fn nearest_retention_is_suggested() {
        for (days, nearest) in [(0, "1"), (31, "30"), (364, "365"), (100_000, "3653")] {
            let violation = retention_days(days).unwrap_err();
            assert_eq!(violation.suggestion(), Some(nearest), "{days}");
        }
    }

    proptest! {
        #[test]
        fn retention_days_must_be_offered_by_aws(days in any::<i64>()) {
            prop_assert_eq!(retention_days(days).is_ok(), RETENTION_DAYS.contains(&days));
        }
    }
}
