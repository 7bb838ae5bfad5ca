//! Conversion of SDK errors into failures.

use crate::connection_fault::ConnectionFault;
use crate::credentials::CredentialsFault;
use crate::hints;
use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_runtime_api::http::Response;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use pb_engine::{Class, Failure};
use std::error::Error;

/// Conversion of the result of an SDK call into a result with a [`Failure`].
pub trait ForOperation<T> {
    /// Returns the output, or a failure of the matching class that names the `operation` (`ec2:CreateVpc`) and the
    /// error.
    ///
    /// # Errors
    /// Every error that the SDK reports, as a failure.
    fn for_operation(self, operation: &str) -> Result<T, Failure>;
}

impl<T, E> ForOperation<T> for Result<T, SdkError<E, Response>>
where
    E: ProvideErrorMetadata + Error + 'static,
{
    fn for_operation(self, operation: &str) -> Result<T, Failure> {
        self.map_err(|error| failure(operation, &error))
    }
}

fn failure<E>(operation: &str, error: &SdkError<E, Response>) -> Failure
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let of = |class, message: String| Failure::new(class, operation, message);
    if let Some(fault) = ConnectionFault::find(error) {
        return of(Class::Unreachable, fault.to_string()).hint(fault.hint());
    }
    match error {
        SdkError::ServiceError(context) => {
            let meta = context.err().meta();
            let status = context.raw().status().as_u16();
            let code = meta.code().map(str::to_owned);
            let message = meta.message().map_or_else(|| chain(error), str::to_owned);
            let mut failure = of(classify(code.as_deref().unwrap_or_default(), &message, status), message);
            failure.request_id = meta.extra("aws_request_id").map(str::to_owned);
            if code.is_none() {
                failure.message = format!("HTTP status {status}: {}", failure.message);
            }
            failure.code = code;
            if status == PROXY_AUTHENTICATION_REQUIRED {
                let hint = "check the user and password in HTTP_PROXY";
                return failure.class(Class::Unreachable).hint(hint);
            }
            with_hint(failure)
        }
        SdkError::TimeoutError(_) => of(Class::Ambiguous, format!("no response in time: {}", chain(error))),
        SdkError::ResponseError(_) => of(Class::Ambiguous, format!("invalid response: {}", chain(error))),
        SdkError::DispatchFailure(dispatch) => {
            if is_credentials_error(error) {
                return no_credentials(operation, error);
            }
            let text = chain(error);
            match dispatch.is_user() {
                true => of(Class::Refused, text),
                false => of(Class::Ambiguous, format!("the connection was lost: {text}")),
            }
        }
        _ if is_credentials_error(error) => no_credentials(operation, error),
        _ => of(Class::Refused, chain(error)),
    }
}

/// HTTP status of a proxy that does not accept the user and password. AWS does not return it.
const PROXY_AUTHENTICATION_REQUIRED: u16 = 407;

fn no_credentials(operation: &str, error: &(dyn Error + 'static)) -> Failure {
    if let Some(fault) = CredentialsFault::find(error) {
        return Failure::new(Class::Credentials, operation, format!("no AWS credentials: {fault}")).hint(fault.hint());
    }
    let hint = "set AWS_PROFILE or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or sign in with `aws sso login`";
    Failure::new(Class::Credentials, operation, format!("no AWS credentials: {}", root_cause(error))).hint(hint)
}

fn with_hint(failure: Failure) -> Failure {
    let lacks_role = is_service_linked_role(failure.code.as_deref().unwrap_or_default(), &failure.message);
    if lacks_role || is_role_creation_denied(&failure) {
        let service = failure.operation.split(':').next().unwrap_or_default();
        let create = format!("aws iam create-service-linked-role --aws-service-name {service}.amazonaws.com");
        return failure.hint(format!(
            "the service creates this role with its first call; if iam:CreateServiceLinkedRole is denied, an \
             administrator has to run `{create}`"
        ));
    }
    match failure.class {
        Class::Credentials if is_clock_skew(&failure) => {
            failure.hint("this machine's clock is several minutes off; correct it, then run the same command again")
        }
        Class::Credentials if ["ExpiredToken", "ExpiredTokenException"].iter().any(|code| failure.is(code)) => failure
            .hint(
                "the session has expired; sign in again (`aws sso login`, `aws login`), or replace the keys and the \
                 session token in the environment or in ~/.aws/credentials",
            ),
        Class::Credentials => {
            failure.hint("the credentials are invalid or expired; sign in again, or check AWS_PROFILE")
        }
        Class::Throttled => failure.hint("AWS throttled the calls; run the same command again in a minute"),
        _ => hints::explain(failure),
    }
}

/// Returns whether a call was refused because the service-linked role of the service does not exist in this account or
/// cannot be assumed yet.
fn is_service_linked_role(code: &str, message: &str) -> bool {
    code.contains("ServiceLinkedRole") || message.contains("Unable to assume the service linked role")
}

/// Returns whether a call was denied because the service would have created its service-linked role, which the caller
/// may not do. Only the message names the permission. (Elastic Load Balancing user guide: Service-linked roles)
fn is_role_creation_denied(failure: &Failure) -> bool {
    failure.class == Class::Denied && failure.message.contains(":CreateServiceLinkedRole")
}

/// Returns whether a request was refused because its signing time differs too much from the time at AWS.
fn is_clock_skew(failure: &Failure) -> bool {
    let says = |words: &str| failure.message.contains(words);
    ["RequestTimeTooSkewed", "RequestExpired"].iter().any(|code| failure.is(code))
        || says("Signature expired")
        || says("Signature not yet current")
}

/// Error codes of requests whose signature or credentials are missing, invalid or expired. (EC2, S3 and STS API: common
/// errors)
const CREDENTIALS: &[&str] = &[
    "AuthFailure",
    "ExpiredToken",
    "ExpiredTokenException",
    "IncompleteSignature",
    "IncompleteSignatureException",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "InvalidToken",
    "MissingAuthenticationToken",
    "MissingAuthenticationTokenException",
    "RequestExpired",
    "RequestTimeTooSkewed",
    "SignatureDoesNotMatch",
    "TokenRefreshRequired",
    "UnrecognizedClientException",
];

/// Error codes of requests for which the caller lacks permission.
const DENIED: &[&str] = &[
    "AccessDenied",
    "AccessDeniedException",
    "AllAccessDisabled",
    "AuthorizationError",
    "NotAuthorized",
    "OptInRequired",
    "UnauthorizedOperation",
];

/// Error codes of throttled requests, in addition to all codes that begin with `Throttl`.
const THROTTLED: &[&str] = &[
    "BandwidthLimitExceeded",
    "EC2ThrottledException",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestThrottledException",
    "SlowDown",
    "TooManyRequestsException",
];

/// Error codes for a temporary state of a resource, in addition to all codes that end with `StateFault`: a preceding
/// call or another caller is changing the resource. (The API references list these codes with each operation.)
const NOT_READY: &[&str] = &[
    // EC2: "You can't run simultaneous commands to modify a tag for a specific resource."
    "ConcurrentTagAccess",
    "IncorrectState",
    "InvalidState",
    // Elastic Load Balancing: returned by SetSubnets.
    "CapacityReservationPending",
    // ElastiCache: the names of these error shapes end with `Fault`, but the codes do not.
    "InvalidCacheClusterState",
    "InvalidCacheParameterGroupState",
    "InvalidReplicationGroupState",
    "InvalidUserGroupState",
    // ECS: returned by UpdateClusterSettings and DeleteCluster.
    "UpdateInProgressException",
    // IAM: "Wait a few minutes and submit your request again."
    "ConcurrentModification",
    "EntityTemporarilyUnmodifiable",
    // DynamoDB: another request for the same item is in progress.
    "ReplicatedWriteConflictException",
    "TransactionConflictException",
    // Route 53, S3 and CloudWatch Logs.
    "OperationAborted",
    "OperationAbortedException",
    "PriorRequestNotComplete",
];

/// Error codes for a resource that does not exist or is not visible yet, in addition to all codes that contain
/// `NotFound` or begin with `NoSuch`.
const NOT_FOUND: &[&str] = &[
    // EC2, CreateTags and DeleteTags: "The specified ID for the resource you are trying to tag is not valid."
    "InvalidID",
    // Elastic Load Balancing: "The specified security group does not exist."
    "InvalidSecurityGroup",
];

/// Returns the class of an error code, according to the conventions that AWS services share. If a code has another
/// meaning in a call, the caller overrides the class with [`Failure::when`].
#[must_use]
pub fn classify(code: &str, message: &str, status: u16) -> Class {
    let any = |codes: &[&str]| codes.contains(&code);
    // ECS reports throttling of RegisterTaskDefinition as a ClientException.
    let too_fast = message.contains("Rate exceeded") || message.contains("Too many concurrent attempts");
    if any(CREDENTIALS) {
        Class::Credentials
    } else if any(DENIED) {
        Class::Denied
    } else if code.starts_with("Throttl") || any(THROTTLED) || too_fast {
        Class::Throttled
    } else if any(NOT_READY) || code.ends_with("StateFault") {
        Class::NotReady
    } else if code == "DependencyViolation" || code.contains("InUse") || code.starts_with("ClusterContains") {
        Class::InUse
    } else if code.contains("NotFound")
        || code.starts_with("NoSuch")
        || any(NOT_FOUND)
        || is_service_linked_role(code, message)
    {
        Class::NotFound
    } else if code == "DuplicateTagKeys" {
        // The request contains a tag key twice; the code does not mean that a resource exists.
        Class::Refused
    } else if code.contains("AlreadyExists") || code.contains("Duplicate") {
        Class::Exists
    } else if status >= 500 && status != 501 {
        Class::Ambiguous
    } else {
        Class::Refused
    }
}

fn is_credentials_error(error: &(dyn Error + 'static)) -> bool {
    sources(error).any(<dyn Error>::is::<CredentialsError>)
}

fn sources<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |link| (*link).source())
}

fn root_cause(error: &(dyn Error + 'static)) -> String {
    sources(error).last().map(ToString::to_string).unwrap_or_default()
}

/// Returns the error and its sources in one line, without repeated texts.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut texts: Vec<String> = Vec::new();
    for link in sources(error) {
        let text = link.to_string();
        if !texts.iter().any(|earlier| earlier.contains(&text)) {
            texts.push(text);
        }
    }
    texts.join(": ")
}

#[cfg(test)]
mod tests {
    use super::{classify, with_hint};
    use pb_engine::{Class, Failure};

    #[test]
    fn error_codes_have_their_class() {
        for (code, status, class) in [
            ("DependencyViolation", 400, Class::InUse),
            ("CacheSubnetGroupInUse", 400, Class::InUse),
            ("ClusterContainsServicesException", 400, Class::InUse),
            ("InvalidVpcID.NotFound", 400, Class::NotFound),
            ("NoSuchEntity", 404, Class::NotFound),
            ("ReplicationGroupNotFoundFault", 404, Class::NotFound),
            ("InvalidGroup.Duplicate", 400, Class::Exists),
            ("DuplicateLoadBalancerName", 400, Class::Exists),
            ("RepositoryAlreadyExistsException", 400, Class::Exists),
            ("RequestLimitExceeded", 503, Class::Throttled),
            ("ThrottlingException", 400, Class::Throttled),
            ("SlowDown", 503, Class::Throttled),
            ("OperationAbortedException", 400, Class::NotReady),
            ("InvalidID", 400, Class::NotFound),
            ("InvalidSecurityGroup", 400, Class::NotFound),
            ("ConcurrentTagAccess", 400, Class::NotReady),
            ("InvalidReplicationGroupState", 400, Class::NotReady),
            ("InvalidVPCNetworkStateFault", 400, Class::NotReady),
            ("UpdateInProgressException", 400, Class::NotReady),
            ("ConcurrentModification", 409, Class::NotReady),
            ("TransactionConflictException", 400, Class::NotReady),
            ("DuplicateTagKeys", 400, Class::Refused),
            ("ServiceUnavailableException", 503, Class::Ambiguous),
            ("InvalidToken", 400, Class::Credentials),
            ("MissingAuthenticationTokenException", 403, Class::Credentials),
            ("OptInRequired", 403, Class::Denied),
            ("InternalError", 500, Class::Ambiguous),
            ("NotImplemented", 501, Class::Refused),
            ("ExpiredTokenException", 400, Class::Credentials),
            ("UnauthorizedOperation", 403, Class::Denied),
            ("ValidationError", 400, Class::Refused),
        ] {
            assert_eq!(classify(code, "", status), class, "{code}");
        }
        let first_call = "Unable to assume the service linked role. Please verify that it exists";
        assert_eq!(classify("InvalidParameterException", first_call, 400), Class::NotFound);
        assert_eq!(classify("ServiceLinkedRoleNotFoundFault", "", 400), Class::NotFound);
        let at_once = "Too many concurrent attempts to create a new revision of the specified family.";
        assert_eq!(classify("ClientException", at_once, 400), Class::Throttled);
    }

    #[test]
    fn missing_service_linked_role_hint_has_the_command() {
        let assume = "Unable to assume the service linked role. Please verify that the ECS service linked role exists.";
        let denied = "User: me is not authorized to perform: iam:CreateServiceLinkedRole on resource: \
                      arn:aws:iam::123456789012:role/aws-service-role/elasticloadbalancing.amazonaws.com/AWSServiceRoleForElasticLoadBalancing";
        for (service, code, message) in [
            ("ecs", "InvalidParameterException", assume),
            ("elasticache", "ServiceLinkedRoleNotFoundFault", ""),
            ("elasticloadbalancing", "AccessDenied", denied),
        ] {
            let failure = Failure::new(classify(code, message, 400), format!("{service}:Create"), message);
            let hint = with_hint(Failure { code: Some(code.to_owned()), ..failure }).hint.unwrap();
            let command = format!("aws iam create-service-linked-role --aws-service-name {service}.amazonaws.com");
            assert!(hint.contains(&command) && hint.contains(":CreateServiceLinkedRole "), "{hint}");
        }
    }

    #[test]
    fn clock_skew_hint_differs_from_wrong_credentials_hint() {
        let hint = |code: &str, message: &str| {
            let failure = Failure::new(classify(code, message, 403), "sts:GetCallerIdentity", message);
            with_hint(Failure { code: Some(code.to_owned()), ..failure }).hint.unwrap()
        };
        for (code, message) in [
            ("RequestTimeTooSkewed", "The difference between the request time and the current time is too large."),
            ("RequestExpired", "Request has expired."),
            ("SignatureDoesNotMatch", "Signature expired: 20260310T155102Z is now earlier than 20260310T155303Z"),
            ("InvalidSignatureException", "Signature not yet current: 20260310T155102Z is still later than now"),
        ] {
            assert!(hint(code, message).contains("clock"), "{code}");
        }
        assert!(hint("SignatureDoesNotMatch", "The signature does not match.").contains("sign in again"));
    }
}
