//! Regions and partitions.

use crate::{Verdict, Violation};

/// Partition: a group of regions with accounts, ARNs and endpoints of its own.
struct Partition {
    /// Name in ARNs.
    name: &'static str,
    /// First part of the names of its regions: `us` of `us-east-2`, `us-gov` of `us-gov-west-1`.
    areas: &'static [&'static str],
    /// Regions on the date of the list.
    regions: &'static [&'static str],
}

/// Partitions and regions as of 2026-11-29. (Service models of botocore 1.44.8: `partitions.json`, `endpoints.json`)
const PARTITIONS: [Partition; 8] = [
    Partition {
        name: "aws",
        areas: &["us", "eu", "ap", "sa", "ca", "me", "af", "il", "mx"],
        regions: &[
            "af-south-1",
            "ap-east-1",
            "ap-east-2",
            "ap-northeast-1",
            "ap-northeast-2",
            "ap-northeast-3",
            "ap-south-1",
            "ap-south-2",
            "ap-southeast-1",
            "ap-southeast-2",
            "ap-southeast-3",
            "ap-southeast-4",
            "ap-southeast-5",
            "ap-southeast-6",
            "ap-southeast-7",
            "ca-central-1",
            "ca-west-1",
            "eu-central-1",
            "eu-central-2",
            "eu-north-1",
            "eu-south-1",
            "eu-south-2",
            "eu-west-1",
            "eu-west-2",
            "eu-west-3",
            "il-central-1",
            "me-central-1",
            "me-south-1",
            "me-west-1",
            "mx-central-1",
            "sa-east-1",
            "sa-west-1",
            "us-east-1",
            "us-east-2",
            "us-west-1",
            "us-west-2",
        ],
    },
    Partition { name: "aws-cn", areas: &["cn"], regions: &["cn-north-1", "cn-northwest-1"] },
    Partition { name: "aws-us-gov", areas: &["us-gov"], regions: &["us-gov-east-1", "us-gov-west-1"] },
    Partition { name: "aws-eusc", areas: &["eusc-de"], regions: &["eusc-de-east-1"] },
    Partition { name: "aws-iso", areas: &["us-iso"], regions: &["us-iso-east-1", "us-iso-west-1"] },
    Partition { name: "aws-iso-b", areas: &["us-isob"], regions: &["us-isob-east-1", "us-isob-west-1"] },
    Partition { name: "aws-iso-e", areas: &["eu-isoe"], regions: &["eu-isoe-west-1"] },
    Partition { name: "aws-iso-f", areas: &["us-isof"], regions: &["us-isof-east-1", "us-isof-south-1"] },
];

/// Second part of the name of a region. AWS has used no others.
const DIRECTIONS: [&str; 9] =
    ["central", "east", "north", "northeast", "northwest", "south", "southeast", "southwest", "west"];

/// Greatest number of edits between a mistyped region and the region that is suggested for it.
const EDITS_MAX: usize = 3;

/// Checks that a region exists, such as `us-east-2`. A region that AWS has added since the date of the list is accepted
/// if its name is made of a known area, a direction and a digit, as the names of all regions are. (AWS General
/// Reference: Regions; `regionRegex` of the partitions in the SDKs)
pub fn region(name: &str) -> Verdict {
    if partition(name).is_some() {
        return Ok(());
    }
    let violation = Violation::new(format!("`{name}` is not a region of AWS"));
    let known = PARTITIONS.iter().flat_map(|partition| partition.regions.iter().copied());
    let near = known.map(|known| (strsim::damerau_levenshtein(&name.to_lowercase(), known), known));
    match near.min() {
        Some((edits, nearest)) if edits <= EDITS_MAX => Err(violation.with_suggestion(nearest)),
        _ => Err(violation.with_remedy("write the name of a region, such as `us-east-2`")),
    }
}

/// Returns the partition of a region, such as `aws` or `aws-us-gov`; `None` if the name is not the name of a region.
#[must_use]
pub fn partition(region: &str) -> Option<&'static str> {
    let mut parts = region.rsplitn(3, '-');
    let (number, direction, area) = (parts.next()?, parts.next()?, parts.next()?);
    let is_number = matches!(number.as_bytes(), [b'1'..=b'9']);
    let found = PARTITIONS.iter().find(|partition| partition.areas.contains(&area))?;
    (is_number && DIRECTIONS.contains(&direction)).then_some(found.name)
}

/// Returns whether ARNs can have this partition.
#[must_use]
pub fn is_partition(name: &str) -> bool {
    PARTITIONS.iter().any(|partition| partition.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listed_regions_belong_to_their_partition() {
        for known in &PARTITIONS {
            assert!(is_partition(known.name));
            for name in known.regions {
                assert_eq!((partition(name), region(name)), (Some(known.name), Ok(())), "{name}");
            }
        }
    }

    #[test]
    fn region_added_after_the_list_is_accepted() {
        for name in ["us-central-1", "ap-southeast-9", "us-gov-central-1"] {
            assert_eq!(region(name), Ok(()), "{name}");
        }
    }

    #[test]
    fn mistyped_region_is_refused_with_the_nearest() {
        for (name, nearest) in [
            ("us-est-2", Some("us-east-2")),
            ("us-east-2a", Some("us-east-2")),
            ("US-EAST-2", Some("us-east-2")),
            ("useast2", Some("us-east-2")),
            ("us-east", Some("us-east-1")),
            ("us--east-2", Some("us-east-2")),
            ("eu-wset-1", Some("eu-west-1")),
            ("us-gov-wst-1", Some("us-gov-west-1")),
            ("us-east-0", Some("us-east-1")),
            ("us-east-10", Some("us-east-1")),
            ("uk-west-1", Some("us-west-1")),
            ("aws-global", None),
            ("frankfurt", None),
            ("", None),
        ] {
            assert_eq!(region(name).unwrap_err().suggestion(), nearest, "{name}");
        }
    }
}
