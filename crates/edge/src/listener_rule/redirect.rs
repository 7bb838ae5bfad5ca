//! The action with which a rule redirects requests.

use aws_sdk_elasticloadbalancingv2::types::{
    Action, ActionTypeEnum, RedirectActionConfig, RedirectActionStatusCodeEnum,
};
use serde::{Deserialize, Serialize};

/// Redirect of requests. `#{protocol}`, `#{host}`, `#{port}`, `#{path}` and `#{query}` in the parts stand for those of
/// the request. (Elastic Load Balancing API: RedirectActionConfig)
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redirect {
    /// Protocol: `HTTPS`, for example.
    pub protocol: String,
    /// Host.
    pub host: String,
    /// Port.
    pub port: String,
    /// Path, which starts with a slash.
    pub path: String,
    /// Query, without the question mark.
    pub query: String,
    /// Status code: `HTTP_301` or `HTTP_302`.
    pub status_code: String,
}

impl Redirect {
    /// Returns the permanent redirect of a request to the same URL with HTTPS on `port`.
    #[must_use]
    pub fn to_https(port: i32) -> Self {
        Self {
            protocol: "HTTPS".to_owned(),
            host: "#{host}".to_owned(),
            port: port.to_string(),
            path: "/#{path}".to_owned(),
            query: "#{query}".to_owned(),
            status_code: RedirectActionStatusCodeEnum::Http301.as_str().to_owned(),
        }
    }

    /// Returns the redirect of an action; `None` if the action does not redirect.
    pub(super) fn of_action(action: &Action) -> Option<Self> {
        let config = action.redirect_config()?;
        let text = |part: Option<&str>, default: &str| part.unwrap_or(default).to_owned();
        Some(Self {
            protocol: text(config.protocol(), "#{protocol}"),
            host: text(config.host(), "#{host}"),
            port: text(config.port(), "#{port}"),
            path: text(config.path(), "/#{path}"),
            query: text(config.query(), "#{query}"),
            status_code: text(config.status_code().map(RedirectActionStatusCodeEnum::as_str), ""),
        })
    }

    /// Returns the action in the form of a request.
    pub(super) fn action(&self) -> Action {
        let config = RedirectActionConfig::builder()
            .protocol(&self.protocol)
            .host(&self.host)
            .port(&self.port)
            .path(&self.path)
            .query(&self.query)
            .status_code(RedirectActionStatusCodeEnum::from(self.status_code.as_str()));
        Action::builder().r#type(ActionTypeEnum::Redirect).redirect_config(config.build()).build()
    }
}
