//! Images of a repository: their number, and their deletion with the repository.

use super::{PAGE_SIZE, Repositories};
use aws_sdk_ecr::types::{ImageIdentifier, ImageStatusFilter, ListImagesFilter};
use pb_aws::ForOperation;
use pb_engine::{Backoff, Class, Context, Failure, Progress};
use std::collections::BTreeSet;
use std::time::Duration;

const DESCRIBE: &str = "ecr:DescribeRepositories";

/// Limit of the wait until a repository is deleted with its images.
const DELETING: Backoff = Backoff::minutes(Duration::from_secs(20 * 60));

impl Repositories {
    /// Counts the images of a repository, archived ones included. The list has an entry for each tag of an image.
    pub(super) async fn count_images(&self, name: &str) -> Result<Option<usize>, Failure> {
        match self.has_images {
            Some(true) => return Ok(None),
            Some(false) => return Ok(Some(0)),
            None => {}
        }
        let any = ListImagesFilter::builder().image_status(ImageStatusFilter::Any).build();
        let pages = self.client.list_images().repository_name(name).filter(any).into_paginator().page_size(PAGE_SIZE);
        let listed: Result<Vec<ImageIdentifier>, _> = pages.items().send().collect().await;
        let listed = listed.for_operation("ecr:ListImages")?;
        let digests: BTreeSet<_> = listed.iter().map(ImageIdentifier::image_digest).collect();
        Ok(Some(digests.len()))
    }

    /// Waits until a repository is gone. ECR may still be deleting its images after it has accepted the delete.
    pub(super) async fn wait_deleted(&self, cx: &Context, name: &str) -> Result<(), Failure> {
        cx.wait(DESCRIBE, DELETING, || async {
            match self.client.describe_repositories().repository_names(name).send().await.for_operation(DESCRIBE) {
                Ok(_) => Ok(Progress::Pending("its images are being deleted".to_owned())),
                Err(failure) if failure.class == Class::NotFound => Ok(Progress::Ready(())),
                Err(failure) => Err(failure),
            }
        })
        .await
    }
}
