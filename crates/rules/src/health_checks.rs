//! Reasons for failed health checks, as Elastic Load Balancing and Amazon ECS describe them.

/// Failed health check whose status code shows the cause. (Flask 3.1.3, measured: docs/celery.md)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailedCheck {
    /// 308: Flask redirects a path without its slash to the path with the slash.
    PermanentRedirect,
    /// 404: no route has this path; Flask does not remove a slash at its end.
    NotFound,
    /// 400: Flask refuses hosts that are not in `TRUSTED_HOSTS`.
    BadRequest,
}

impl FailedCheck {
    /// Returns the failed check in a description such as `Health checks failed with these codes: [308]`. A description
    /// with several codes has no single cause. (Elastic Load Balancing user guide: Health check reason codes,
    /// `Target.ResponseCodeMismatch`)
    #[must_use]
    pub fn find(description: &str) -> Option<Self> {
        let (_, codes) = description.split_once("Health checks failed with these codes: [")?;
        match codes.split_once(']')?.0 {
            "308" => Some(Self::PermanentRedirect),
            "404" => Some(Self::NotFound),
            "400" => Some(Self::BadRequest),
            _ => None,
        }
    }

    /// Returns the cause and the remedy.
    #[must_use]
    pub fn hint(self) -> &'static str {
        match self {
            Self::PermanentRedirect => {
                "the application redirects `health_path` (308); Flask does so if only the path with a slash at its end \
                 exists: write `health_path` with the slash"
            }
            Self::NotFound => {
                "the application has no page at `health_path` (404); Flask distinguishes `/hello` from `/hello/`: \
                 configure a path that answers 200"
            }
            Self::BadRequest => {
                "the application refuses the health check (400); its host is the address of the task, which Flask refuses \
                 if it is not in `TRUSTED_HOSTS`: answer `health_path` for any host"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::FailedCheck;

    #[test]
    fn cause_is_known_for_single_codes_alone() {
        let find = |codes: &str| FailedCheck::find(&format!("Health checks failed with these codes: [{codes}]"));
        assert_eq!(find("308"), Some(FailedCheck::PermanentRedirect));
        assert_eq!(find("404"), Some(FailedCheck::NotFound));
        assert_eq!(find("400"), Some(FailedCheck::BadRequest));
        for other in ["500", "404, 500", "4040", ""] {
            assert_eq!(find(other), None, "{other}");
        }
        assert_eq!(FailedCheck::find("Request timed out"), None);
        let event = "(port 5050) is unhealthy in web due to (reason Health checks failed with these codes: [404])";
        assert_eq!(FailedCheck::find(event), Some(FailedCheck::NotFound));
    }
}
