//! `s3.bucket`: the state bucket.

use crate::policy::{Document, is_tls_only, tls_only};
use aws_sdk_s3::Client;
use aws_sdk_s3::error::SdkError;
use aws_sdk_s3::types::{
    BucketLocationConstraint, BucketVersioningStatus, CreateBucketConfiguration, PublicAccessBlockConfiguration,
    ServerSideEncryption, ServerSideEncryptionByDefault, ServerSideEncryptionConfiguration, ServerSideEncryptionRule,
    Tag, Tagging, VersioningConfiguration,
};
use aws_types::SdkConfig;
use pb_aws::ForOperation;
use pb_engine::{Change, Class, Context, Failure, Found, ReadScope, Resource};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Region of a bucket that was created without a location. A request must not name this region as the location. (Amazon
/// S3 API: CreateBucket)
const DEFAULT_REGION: &str = "us-east-1";

/// Resource kind for state buckets (`s3.bucket`).
pub struct Bucket {
    client: Client,
    account: String,
}

/// Spec of a state bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BucketSpec {
    /// Name, unique across all AWS accounts.
    pub name: String,
    /// Region of the bucket.
    pub region: String,
    /// `true` if S3 keeps older versions of objects.
    pub versioned: bool,
    /// `true` if objects are encrypted by default.
    pub encrypted: bool,
    /// `true` if all public access is blocked.
    pub private: bool,
    /// `true` if the bucket policy denies requests without TLS.
    pub tls_only: bool,
}

/// Attributes of a state bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BucketAttrs {
    /// Name of the bucket.
    pub name: String,
}

impl Bucket {
    /// Creates the resource kind for buckets of `account`. Each call names the account as the expected owner, so a
    /// bucket of another account is never changed. For an endpoint other than AWS, the bucket name is in the path of
    /// the URL instead of its host name.
    #[must_use]
    pub fn new(config: &SdkConfig, account: &str) -> Self {
        let custom = pb_aws::endpoint_url(config, "S3").is_some();
        let config = aws_sdk_s3::config::Builder::from(config).force_path_style(custom).build();
        Self { client: Client::from_conf(config), account: account.to_owned() }
    }

    async fn read_spec(&self, name: &str) -> Result<BucketSpec, Failure> {
        let location = self
            .client
            .get_bucket_location()
            .bucket(name)
            .expected_bucket_owner(&self.account)
            .send()
            .await
            .for_operation("s3:GetBucketLocation")?;
        let location = location.location_constraint().map(|location| location.as_str().to_owned());
        let versioning = self
            .client
            .get_bucket_versioning()
            .bucket(name)
            .expected_bucket_owner(&self.account)
            .send()
            .await
            .for_operation("s3:GetBucketVersioning")?;
        let encryption =
            self.client.get_bucket_encryption().bucket(name).expected_bucket_owner(&self.account).send().await;
        let block =
            self.client.get_public_access_block().bucket(name).expected_bucket_owner(&self.account).send().await;
        let block = none_if(block.for_operation("s3:GetPublicAccessBlock"), "NoSuchPublicAccessBlockConfiguration")?;
        let block = block.and_then(|block| block.public_access_block_configuration);
        Ok(BucketSpec {
            name: name.to_owned(),
            region: location.filter(|location| !location.is_empty()).unwrap_or_else(|| DEFAULT_REGION.to_owned()),
            versioned: versioning.status() == Some(&BucketVersioningStatus::Enabled),
            encrypted: none_if(
                encryption.for_operation("s3:GetBucketEncryption"),
                "ServerSideEncryptionConfigurationNotFoundError",
            )?
            .is_some(),
            private: block.is_some_and(|block| blocks_public_access(&block)),
            tls_only: self.policy(name).await?.any(is_tls_only),
        })
    }

    async fn policy(&self, name: &str) -> Result<Document, Failure> {
        let answer = self
            .client
            .get_bucket_policy()
            .bucket(name)
            .expected_bucket_owner(&self.account)
            .send()
            .await
            .for_operation("s3:GetBucketPolicy");
        match none_if(answer, "NoSuchBucketPolicy")?.and_then(|found| found.policy) {
            Some(text) => Document::parse(&text, name),
            None => Ok(Document::empty()),
        }
    }

    async fn set(&self, name: &str, should_set: impl Fn(&str) -> bool) -> Result<(), Failure> {
        if should_set("private") {
            let block = block_public_access();
            let call = self
                .client
                .put_public_access_block()
                .bucket(name)
                .expected_bucket_owner(&self.account)
                .public_access_block_configuration(block);
            call.send().await.for_operation("s3:PutPublicAccessBlock")?;
        }
        if should_set("versioned") {
            let on = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
            let call = self
                .client
                .put_bucket_versioning()
                .bucket(name)
                .expected_bucket_owner(&self.account)
                .versioning_configuration(on);
            call.send().await.for_operation("s3:PutBucketVersioning")?;
        }
        if should_set("encrypted") {
            let call = self.client.put_bucket_encryption().bucket(name).expected_bucket_owner(&self.account);
            let call = call.server_side_encryption_configuration(encryption()?);
            call.send().await.for_operation("s3:PutBucketEncryption")?;
        }
        if should_set("tls_only") {
            let policy = self.policy(name).await?;
            if !policy.any(is_tls_only) {
                let call = self
                    .client
                    .put_bucket_policy()
                    .bucket(name)
                    .expected_bucket_owner(&self.account)
                    .policy(policy.with_statement(tls_only(name)).to_string());
                call.send().await.for_operation("s3:PutBucketPolicy")?;
            }
        }
        Ok(())
    }
}

/// Returns the actual region of a bucket if S3 responds that the bucket is not in the expected region. S3 names the
/// actual region in a header of its response, which has status 301, or 400 in newer regions. The response to HEAD has
/// this header, too. (Amazon S3 API: HeadBucket)
fn actual_region<T, E>(answer: &Result<T, SdkError<E>>, expected: &str) -> Option<String> {
    let raw = answer.as_ref().err()?.raw_response().filter(|raw| matches!(raw.status().as_u16(), 301 | 400))?;
    raw.headers().get("x-amz-bucket-region").filter(|region| *region != expected).map(str::to_owned)
}

/// Returns the response, or `None` if the call failed with the error code `code`, which means that the setting does not
/// exist.
fn none_if<T>(answer: Result<T, Failure>, code: &str) -> Result<Option<T>, Failure> {
    match answer {
        Err(failure) if failure.is(code) => Ok(None),
        answer => answer.map(Some),
    }
}

fn block_public_access() -> PublicAccessBlockConfiguration {
    let block = PublicAccessBlockConfiguration::builder().block_public_acls(true).ignore_public_acls(true);
    block.block_public_policy(true).restrict_public_buckets(true).build()
}

fn blocks_public_access(block: &PublicAccessBlockConfiguration) -> bool {
    [
        block.block_public_acls(),
        block.ignore_public_acls(),
        block.block_public_policy(),
        block.restrict_public_buckets(),
    ]
    .iter()
    .all(|on| *on == Some(true))
}

fn encryption() -> Result<ServerSideEncryptionConfiguration, Failure> {
    let bug = |error: aws_sdk_s3::error::BuildError| Failure::new(Class::Bug, "encrypt a bucket", error.to_string());
    let default =
        ServerSideEncryptionByDefault::builder().sse_algorithm(ServerSideEncryption::Aes256).build().map_err(bug)?;
    let rule = ServerSideEncryptionRule::builder().apply_server_side_encryption_by_default(default).build();
    ServerSideEncryptionConfiguration::builder().rules(rule).build().map_err(bug)
}

impl Resource for Bucket {
    const KIND: &'static str = "s3.bucket";
    type Spec = BucketSpec;
    type Attrs = BucketAttrs;

    fn planned_attrs(spec: &BucketSpec) -> BucketAttrs {
        BucketAttrs { name: spec.name.clone() }
    }

    fn requires_replacement(field: &str) -> bool {
        matches!(field, "name" | "region")
    }

    fn deletion_blocker(spec: &BucketSpec, _attrs: &BucketAttrs) -> Option<String> {
        Some(format!(
            "the bucket is in {} and its contents cannot be moved; change `region` or `state.bucket`",
            spec.region
        ))
    }

    fn id(attrs: &BucketAttrs) -> Option<String> {
        Some(attrs.name.clone())
    }

    /// Counts an existing bucket of this account with the desired name as managed, regardless of who created it.
    async fn read(&self, scope: &ReadScope<Self>) -> Result<Vec<Found<Self>>, Failure> {
        let mut found = Vec::new();
        for (address, spec) in &scope.desired {
            let name = &spec.name;
            let answer = self.client.head_bucket().bucket(name).expected_bucket_owner(&self.account).send().await;
            let actual_region = actual_region(&answer, &spec.region);
            match answer.for_operation("s3:HeadBucket") {
                Err(failure) if failure.class == Class::NotFound => {}
                // The response to HEAD has no body, so only its status is known.
                Err(failure) if failure.class == Class::Denied || failure.message.contains("403") => {
                    let what = format!("bucket {name} (of another account, or not accessible with these credentials)");
                    let advice = "choose another `state.bucket`, or use credentials that may read the bucket";
                    found.push(Found::not_importable(address.clone(), what, advice));
                }
                // The bucket is in another region. `deletion_blocker` refuses the replacement and names the remedy. The
                // other fields cannot be read in the expected region, so they are copied from the desired spec.
                Err(_) if actual_region.is_some() => found.push(Found::Managed {
                    address: address.clone(),
                    spec: BucketSpec { region: actual_region.unwrap_or_default(), ..spec.clone() },
                    attrs: BucketAttrs { name: name.clone() },
                    ready: true,
                }),
                Err(failure) if failure.message.contains("301") => {
                    let what = format!("bucket {name} (not in the region {})", spec.region);
                    let advice = "correct `region`, or choose another `state.bucket`";
                    found.push(Found::not_importable(address.clone(), what, advice));
                }
                Err(failure) => return Err(failure),
                Ok(_) => found.push(Found::Managed {
                    address: address.clone(),
                    spec: self.read_spec(name).await?,
                    attrs: BucketAttrs { name: name.clone() },
                    ready: true,
                }),
            }
        }
        Ok(found)
    }

    async fn create(&self, _cx: &Context, spec: &BucketSpec) -> Result<BucketAttrs, Failure> {
        let call = self.client.create_bucket().bucket(&spec.name);
        let call = match spec.region.as_str() {
            DEFAULT_REGION => call,
            region => {
                let location = BucketLocationConstraint::from(region);
                call.create_bucket_configuration(
                    CreateBucketConfiguration::builder().location_constraint(location).build(),
                )
            }
        };
        let answer = call.send().await.for_operation("s3:CreateBucket");
        answer.map_err(|failure| failure.when(&["BucketAlreadyOwnedByYou", "BucketAlreadyExists"], Class::Exists))?;
        Ok(Self::planned_attrs(spec))
    }

    async fn configure(&self, cx: &Context, attrs: &BucketAttrs, _: &BucketSpec) -> Result<(), Failure> {
        self.set(&attrs.name, |_| true).await?;
        let bug = |error: aws_sdk_s3::error::BuildError| Failure::new(Class::Bug, "tag a bucket", error.to_string());
        let tags = cx.tags(&BTreeMap::new());
        let tags = tags.into_iter().map(|(key, value)| Tag::builder().key(key).value(value).build());
        let tags = tags.collect::<Result<Vec<_>, _>>().map_err(bug)?;
        let tagging = Tagging::builder().set_tag_set(Some(tags)).build().map_err(bug)?;
        let call =
            self.client.put_bucket_tagging().bucket(&attrs.name).expected_bucket_owner(&self.account).tagging(tagging);
        call.send().await.for_operation("s3:PutBucketTagging").map(drop)
    }

    async fn update(
        &self,
        _cx: &Context,
        attrs: &BucketAttrs,
        _spec: &BucketSpec,
        changes: &[Change],
    ) -> Result<BucketAttrs, Failure> {
        self.set(&attrs.name, |field| changes.iter().any(|change| change.field() == field)).await?;
        Ok(attrs.clone())
    }

    /// Deletes the bucket. S3 refuses this if the bucket contains an object or an object version.
    async fn delete(&self, _cx: &Context, attrs: &BucketAttrs) -> Result<(), Failure> {
        let answer = self
            .client
            .delete_bucket()
            .bucket(&attrs.name)
            .expected_bucket_owner(&self.account)
            .send()
            .await
            .for_operation("s3:DeleteBucket");
        answer.map(drop).map_err(|failure| failure.when(&["BucketNotEmpty"], Class::Refused))
    }
}
