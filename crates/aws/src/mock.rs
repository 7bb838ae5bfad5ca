//! SDK clients for tests, whose responses come from typed rules.

/// Creates a client of the SDK crate `$service`, such as `aws_sdk_ec2`. The first matching rule of `$rules`, which
/// `aws_smithy_mocks::mock!` creates, provides the response to a call. Nothing is retried, and no request leaves the
/// process.
#[macro_export]
macro_rules! mock_client {
    ($service:ident, $rules:expr) => {{
        let mut interceptor =
            aws_smithy_mocks::MockResponseInterceptor::new().rule_mode(aws_smithy_mocks::RuleMode::MatchAny);
        for rule in $rules {
            interceptor = interceptor.with_rule(rule);
        }
        let config = $service::Config::builder()
            .behavior_version($service::config::BehaviorVersion::latest())
            .region($service::config::Region::new("us-east-2"))
            .credentials_provider($service::config::Credentials::new("test", "test", None, None, "test"))
            .retry_config($service::config::retry::RetryConfig::disabled())
            .http_client(aws_smithy_mocks::create_mock_http_client())
            .interceptor(interceptor)
            .build();
        $service::Client::from_conf(config)
    }};
}
