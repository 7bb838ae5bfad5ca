//! Endpoints other than those of AWS, for all services or for one.
//!
//! The SDK reads the names of services in `~/.aws/config` in another spelling than the AWS CLI (`route-53` instead of
//! `route_53`), ignores URLs that it cannot parse, and drops the last segment of a path without a final slash. So the
//! endpoints are determined here, in the order of the CLI.

use crate::profiles::{Profiles, is_set};
use crate::{Access, Environment};
use aws_config::SdkConfig;
use aws_types::service_config::{LoadServiceConfig, ServiceConfigKey};
use http::Uri;
use pb_engine::{Class, Failure};

const VARIABLE: &str = "AWS_ENDPOINT_URL";
const KEY: &str = "endpoint_url";

/// The services that are called, by the names of the SDK.
const SERVICES: [&str; 13] = [
    "CloudWatch Logs",
    "DynamoDB",
    "EC2",
    "ECR",
    "ECS",
    "ElastiCache",
    "Elastic Load Balancing v2",
    "IAM",
    "Resource Groups Tagging API",
    "Route 53",
    "S3",
    "Service Quotas",
    "STS",
];

/// The configured endpoints.
#[derive(Debug)]
pub(crate) struct Endpoints {
    explicit: Option<String>,
    environment: Environment,
    profiles: Profiles,
    ignored: bool,
}

/// The URL of an endpoint, and the setting that contains it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Endpoint {
    pub url: String,
    pub setting: String,
}

impl Endpoints {
    /// Reads the settings.
    ///
    /// # Errors
    /// A URL that is not that of an endpoint.
    pub(crate) fn new(access: &Access, profiles: &Profiles) -> Result<Self, Failure> {
        let environment = &access.environment;
        let ignored =
            is_set(environment, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", profiles, "ignore_configured_endpoint_urls");
        let (explicit, environment, profiles) = (access.endpoint_url.clone(), environment.clone(), profiles.clone());
        let endpoints = Self { explicit, environment, profiles, ignored };
        endpoints.all()?;
        Ok(endpoints)
    }

    /// Returns the endpoints of all services, without repetitions.
    ///
    /// # Errors
    /// A URL that is not that of an endpoint.
    pub(crate) fn all(&self) -> Result<Vec<Endpoint>, Failure> {
        let mut all: Vec<Endpoint> = Vec::new();
        for endpoint in std::iter::once(self.general()).chain(SERVICES.map(|service| self.of(service))).flatten() {
            let endpoint = Endpoint { url: normalize(&endpoint)?, ..endpoint };
            if !all.iter().any(|earlier| earlier.url == endpoint.url) {
                all.push(endpoint);
            }
        }
        Ok(all)
    }

    /// Returns the URL of the endpoint for all services that have none of their own.
    pub(crate) fn general_url(&self) -> Option<String> {
        normalize(&self.general()?).ok()
    }

    /// Returns whether the endpoint was not configured, but requested by the program.
    pub(crate) fn is_explicit(&self) -> bool {
        self.explicit.is_some()
    }

    fn general(&self) -> Option<Endpoint> {
        self.explicit().or_else(|| self.of_variable(VARIABLE.to_owned())).or_else(|| self.of_profile())
    }

    fn of(&self, service: &str) -> Option<Endpoint> {
        self.explicit()
            .or_else(|| self.of_variable(format!("{VARIABLE}_{}", service.to_uppercase().replace(' ', "_"))))
            .or_else(|| self.of_variable(VARIABLE.to_owned()))
            .or_else(|| self.of_section(service))
            .or_else(|| self.of_profile())
    }

    fn explicit(&self) -> Option<Endpoint> {
        let url = self.explicit.clone()?;
        Some(Endpoint { url, setting: "--endpoint-url".to_owned() })
    }

    fn of_variable(&self, setting: String) -> Option<Endpoint> {
        let url = self.environment.get(&setting).filter(|_| !self.ignored)?.to_owned();
        Some(Endpoint { url, setting })
    }

    fn of_profile(&self) -> Option<Endpoint> {
        let url = self.profiles.get(KEY).filter(|_| !self.ignored)?.to_owned();
        Some(Endpoint { url, setting: format!("`{KEY}` of profile {}", self.profiles.name()) })
    }

    fn of_section(&self, service: &str) -> Option<Endpoint> {
        let spellings = ['_', '-'].map(|separator| service.to_lowercase().replace(' ', &separator.to_string()));
        let found = spellings.iter().find_map(|name| Some((name, self.profiles.service(name, KEY)?)));
        let (name, url) = found.filter(|_| !self.ignored)?;
        let section = self.profiles.get("services").unwrap_or_default();
        Some(Endpoint { url: url.to_owned(), setting: format!("`{name}` in `[services {section}]`") })
    }
}

impl LoadServiceConfig for Endpoints {
    fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
        if key.env() != VARIABLE {
            return None;
        }
        normalize(&self.of(key.service_id())?).ok()
    }
}

/// Returns the URL of the endpoint of a service (`Route 53`, as the SDK names it), if it is not that of AWS.
#[must_use]
pub fn endpoint_url(config: &SdkConfig, service: &str) -> Option<String> {
    let key = ServiceConfigKey::builder().service_id(service).env(VARIABLE).profile(KEY).build().ok();
    let of_service = key.and_then(|key| config.service_config()?.load_config(key));
    of_service.or_else(|| config.endpoint_url().map(str::to_owned))
}

/// Returns the URL with a slash at the end of its path. The SDK appends the name of a bucket to the path.
fn normalize(endpoint: &Endpoint) -> Result<String, Failure> {
    let failure = |why: String| {
        let message = format!("invalid URL `{}` ({}): {why}", endpoint.url, endpoint.setting);
        let hint = format!("set {} to a URL such as http://localhost:4566", endpoint.setting);
        Failure::new(Class::Unreachable, "check the endpoint", message).hint(hint)
    };
    let url: Uri = endpoint.url.parse().map_err(|error: http::uri::InvalidUri| failure(error.to_string()))?;
    match (url.scheme_str(), url.host(), url.query()) {
        (Some("http" | "https"), Some(_), None) if url.path().ends_with('/') => {
            // A URL without a path has the path `/`, which is not written.
            Ok(endpoint.url.clone())
        }
        (Some("http" | "https"), Some(_), None) => Ok(format!("{}/", endpoint.url)),
        (Some("http" | "https"), Some(_), Some(_)) => Err(failure("it has a query".to_owned())),
        _ => Err(failure("it does not begin with http:// or https://".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::{Endpoint, Endpoints, normalize};
    use crate::{Access, Environment};

    fn endpoints(explicit: Option<&str>, variables: &[(&str, &str)]) -> Endpoints {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let environment: Environment = variables.collect();
        let access = Access { endpoint_url: explicit.map(str::to_owned), environment, ..Access::default() };
        Endpoints::new(&access, &crate::profiles::Profiles::default()).unwrap()
    }

    fn url_of(endpoints: &Endpoints, service: &str) -> Option<String> {
        endpoints.of(service).map(|endpoint| endpoint.url)
    }

    #[test]
    fn variable_of_service_takes_precedence() {
        let variables = [
            ("AWS_ENDPOINT_URL", "http://all"),
            ("AWS_ENDPOINT_URL_ROUTE_53", "http://zones"),
            ("AWS_ENDPOINT_URL_ELASTIC_LOAD_BALANCING_V2", "http://balancers"),
            ("AWS_ENDPOINT_URL_S3", ""),
        ];
        let configured = endpoints(None, &variables);
        for (service, url) in
            [("Route 53", "http://zones"), ("Elastic Load Balancing v2", "http://balancers"), ("S3", "http://all")]
        {
            assert_eq!(url_of(&configured, service).as_deref(), Some(url), "{service}");
        }
        let explicit = endpoints(Some("http://explicit"), &variables);
        assert_eq!(url_of(&explicit, "Route 53").as_deref(), Some("http://explicit"));
    }

    #[test]
    fn ignored_endpoints_leave_only_explicit_one() {
        let variables = [("AWS_ENDPOINT_URL", "http://all"), ("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "TRUE")];
        assert_eq!(url_of(&endpoints(None, &variables), "S3"), None);
        assert_eq!(url_of(&endpoints(Some("http://explicit"), &variables), "S3").as_deref(), Some("http://explicit"));
    }

    #[test]
    fn path_of_endpoint_ends_with_slash() {
        let of = |url: &str| normalize(&Endpoint { url: url.to_owned(), setting: "AWS_ENDPOINT_URL".to_owned() });
        for (url, normalized) in [
            ("http://localhost:4566", "http://localhost:4566"),
            ("http://localhost:4566/", "http://localhost:4566/"),
            ("https://gateway.example/aws", "https://gateway.example/aws/"),
            ("https://gateway.example/aws/", "https://gateway.example/aws/"),
        ] {
            assert_eq!(of(url).unwrap(), normalized);
        }
        for url in ["localhost:4566", "ftp://host", "http://", "http://host/?a=b", "//host", "http://a b"] {
            let failure = of(url).unwrap_err();
            assert!(failure.message.contains("AWS_ENDPOINT_URL"), "{failure}");
        }
    }
}
