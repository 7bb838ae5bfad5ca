//! Location of a Terraform state.

use aws_sdk_s3::Client;
use aws_types::SdkConfig;
use pb_aws::ForOperation;
use pb_engine::{Class, Failure, Refusal};
use std::fmt;
use std::path::PathBuf;

/// Location of a Terraform state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Object in Terraform's S3 backend. The key of a Terraform workspace other than `default` is `env:/WORKSPACE/KEY`.
    S3 {
        /// S3 bucket.
        bucket: String,
        /// Key of the state object.
        key: String,
    },
    /// Local file.
    File(PathBuf),
}

/// Hint for a state that does not exist. (Terraform, S3 backend: workspace_key_prefix)
const OTHER_WORKSPACES: &str = "the state of a Terraform workspace other than `default` is at \
                                s3://BUCKET/env:/WORKSPACE/KEY; if the backend sets `workspace_key_prefix`, write it \
                                instead of `env:`";

impl Source {
    /// Parses a URL of the form `s3://bucket/key`, or the path of a file.
    ///
    /// # Errors
    /// A message if the bucket or the key is missing from a URL.
    pub fn parse(text: &str) -> Result<Self, String> {
        let Some(rest) = text.strip_prefix("s3://") else {
            return Ok(Self::File(PathBuf::from(text)));
        };
        match rest.split_once('/') {
            Some((bucket, key)) if !bucket.is_empty() && !key.is_empty() => {
                Ok(Self::S3 { bucket: bucket.to_owned(), key: key.to_owned() })
            }
            _ => Err(format!("{text} does not name an object; write s3://BUCKET/KEY")),
        }
    }

    /// Reads the state.
    ///
    /// # Errors
    /// `NotFound` if the state does not exist or the file cannot be read, and the S3 errors.
    pub async fn read(&self, config: &SdkConfig) -> Result<Vec<u8>, Failure> {
        match self {
            Self::File(path) => std::fs::read(path).map_err(|error| {
                let failure = Failure::new(Class::NotFound, format!("read {}", path.display()), error.to_string());
                failure
                    .reason(Refusal::TerraformState)
                    .hint("create it with `terraform state pull > FILE`, or pass s3://BUCKET/KEY")
            }),
            Self::S3 { bucket, key } => self.get(&client(config), bucket, key).await,
        }
    }

    async fn get(&self, client: &Client, bucket: &str, key: &str) -> Result<Vec<u8>, Failure> {
        let answer = client.get_object().bucket(bucket).key(key).send().await.for_operation("s3:GetObject");
        let output = answer.map_err(|failure| match failure.code.as_deref() {
            Some("NoSuchKey") => unusable(failure, format!("object {self} not found")).hint(OTHER_WORKSPACES),
            Some("NoSuchBucket") => unusable(failure, format!("bucket {bucket} not found"))
                .hint("pass the bucket of Terraform's S3 backend"),
            // Without s3:ListBucket, S3 does not tell whether the object exists. (S3 API: GetObject)
            _ if failure.class == Class::Denied => failure.hint(format!(
                "grant s3:GetObject on {self}; without s3:ListBucket, S3 gives the same answer for an object that does \
                 not exist, so also check the key: {OTHER_WORKSPACES}"
            )),
            _ => failure,
        })?;
        let broken =
            |error| Failure::new(Class::Ambiguous, "s3:GetObject", format!("the response was incomplete: {error}"));
        Ok(output.body.collect().await.map_err(broken)?.to_vec())
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::S3 { bucket, key } => write!(f, "s3://{bucket}/{key}"),
            Self::File(path) => write!(f, "{}", path.display()),
        }
    }
}

/// Creates a client. For endpoints other than AWS, the bucket is part of the URL's path.
pub(crate) fn client(config: &SdkConfig) -> Client {
    let custom = pb_aws::endpoint_url(config, "S3").is_some();
    Client::from_conf(aws_sdk_s3::config::Builder::from(config).force_path_style(custom).build())
}

/// Returns the failure to read a state that does not exist.
fn unusable(failure: Failure, message: String) -> Failure {
    Failure { message, ..failure }.reason(Refusal::TerraformState)
}

#[cfg(test)]
mod tests {
    use super::Source;

    #[test]
    fn source_is_an_object_or_a_file() {
        let s3 = |bucket: &str, key: &str| Source::S3 { bucket: bucket.to_owned(), key: key.to_owned() };
        assert_eq!(
            Source::parse("s3://b/env:/staging/terraform.tfstate"),
            Ok(s3("b", "env:/staging/terraform.tfstate"))
        );
        assert_eq!(Source::parse("terraform.tfstate"), Ok(Source::File("terraform.tfstate".into())));
        for bad in ["s3://", "s3://b", "s3://b/", "s3:///k"] {
            assert!(Source::parse(bad).is_err(), "{bad}");
        }
    }
}
