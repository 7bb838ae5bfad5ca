//! Commands of the AWS CLI in messages.

use aws_types::region::Region;

/// Returns a command with the region of the client that found the problem: the CLI's own default may be another region,
/// or none.
#[must_use]
pub fn in_region(command: &str, region: Option<&Region>) -> String {
    region.map_or_else(|| command.to_owned(), |region| format!("{command} --region {region}"))
}
