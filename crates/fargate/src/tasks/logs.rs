//! Logs of containers.

use aws_sdk_cloudwatchlogs::Client;
use aws_sdk_cloudwatchlogs::primitives::{DateTime, DateTimeFormat as Format};
use aws_sdk_cloudwatchlogs::types::FilteredLogEvent;
use aws_types::SdkConfig;
use pb_aws::ForOperation;
use pb_engine::Failure;
use serde::Serialize;

/// A log line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LogLine {
    /// Id of the log event, by which a line that was read twice is recognised.
    #[serde(skip)]
    pub id: String,
    /// Time of the line, in milliseconds since 1970.
    pub timestamp: i64,
    /// Time in RFC 3339: `2026-11-22T20:17:03Z`.
    pub time: String,
    /// Prefix of the name of the log stream: the name of the service.
    pub service: String,
    /// Id of the task that wrote the line.
    pub task: String,
    /// Text of the line.
    pub message: String,
}

/// A query of a log group.
#[derive(Debug, Clone)]
pub struct LogQuery {
    /// Name of the log group.
    pub group: String,
    /// Prefix of the stream names; if absent, all streams match.
    pub prefix: Option<String>,
    /// Time of the earliest lines, in milliseconds since 1970.
    pub since: i64,
    /// Filter pattern of CloudWatch Logs; if absent, all lines match.
    pub filter: Option<String>,
}

/// A reader for CloudWatch Logs.
#[derive(Debug, Clone)]
pub struct Logs {
    client: Client,
}

impl Logs {
    /// Creates a reader for the account and region of `config`.
    #[must_use]
    pub fn new(config: &SdkConfig) -> Self {
        Self { client: Client::new(config) }
    }

    pub(crate) fn of(client: Client) -> Self {
        Self { client }
    }

    /// Passes the lines that match the query to `page`, oldest first, one page at a time, until `page` returns `false`.
    ///
    /// # Errors
    /// Any failure of FilterLogEvents: for example, the log group does not exist or the filter pattern is invalid.
    pub async fn read(&self, query: &LogQuery, mut page: impl FnMut(Vec<LogLine>) -> bool) -> Result<(), Failure> {
        let call = self
            .client
            .filter_log_events()
            .log_group_name(&query.group)
            .start_time(query.since)
            .set_log_stream_name_prefix(query.prefix.clone())
            .set_filter_pattern(query.filter.clone());
        let mut pages = call.into_paginator().send();
        while let Some(answer) = pages.next().await {
            // The pages are in chronological order. The events of each page are sorted here, in case they are not.
            let mut lines: Vec<LogLine> =
                answer.for_operation("logs:FilterLogEvents")?.events().iter().map(line).collect();
            lines.sort_by_key(|line| line.timestamp);
            // An empty page is not always the last one.
            if !lines.is_empty() && !page(lines) {
                break;
            }
        }
        Ok(())
    }

    /// Returns the lines of a stream from `token` on, and the token to continue with. Returns no lines for a stream
    /// that does not exist yet.
    ///
    /// # Errors
    /// Any failure of GetLogEvents.
    pub async fn follow(
        &self,
        group: &str,
        stream: &str,
        token: Option<String>,
    ) -> Result<(Vec<String>, Option<String>), Failure> {
        let call = self.client.get_log_events().log_group_name(group).log_stream_name(stream).start_from_head(true);
        match call.set_next_token(token.clone()).send().await.for_operation("logs:GetLogEvents") {
            Ok(answer) => {
                let lines = answer.events().iter().filter_map(|event| event.message().map(str::to_owned)).collect();
                Ok((lines, answer.next_forward_token))
            }
            Err(failure) if failure.is("ResourceNotFoundException") => Ok((Vec::new(), token)),
            Err(failure) => Err(failure),
        }
    }

    /// Returns the last lines of a stream.
    ///
    /// # Errors
    /// Any failure of GetLogEvents.
    pub(crate) async fn last(&self, group: &str, stream: &str, lines: usize) -> Result<Vec<String>, Failure> {
        let call = self.client.get_log_events().log_group_name(group).log_stream_name(stream);
        let call = call.start_from_head(false).limit(i32::try_from(lines).unwrap_or(i32::MAX));
        let answer = call.send().await.for_operation("logs:GetLogEvents")?;
        Ok(answer.events().iter().filter_map(|event| event.message().map(|text| text.trim_end().to_owned())).collect())
    }
}

/// Converts a log event to a line. Stream names have the form `PREFIX/CONTAINER/TASK`.
fn line(event: &FilteredLogEvent) -> LogLine {
    let stream = event.log_stream_name().unwrap_or_default();
    let mut parts = stream.rsplitn(3, '/');
    let timestamp = event.timestamp().unwrap_or_default();
    let (task, _container, prefix) = (parts.next(), parts.next(), parts.next());
    LogLine {
        id: event.event_id().unwrap_or_default().to_owned(),
        timestamp,
        time: DateTime::from_secs(timestamp.div_euclid(1000)).fmt(Format::DateTime).unwrap_or_default(),
        service: prefix.unwrap_or(stream).to_owned(),
        task: task.unwrap_or_default().to_owned(),
        message: event.message().unwrap_or_default().trim_end().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Client, LogQuery, Logs};
    use crate::testing::Fake;
    use aws_sdk_cloudwatchlogs::operation::filter_log_events::FilterLogEventsOutput;
    use aws_sdk_cloudwatchlogs::types::FilteredLogEvent;
    use aws_smithy_mocks::{Rule, mock};

    /// Returns a rule with three pages: two lines, no line, one line. `calls` records the token of each call.
    fn pages(calls: &Fake<Vec<Option<String>>>) -> Rule {
        let calls = calls.clone();
        mock!(Client::filter_log_events)
            .match_requests(|call| {
                (call.log_group_name(), call.log_stream_name_prefix(), call.filter_pattern(), call.start_time())
                    == (Some("g"), Some("staging-web/"), Some("ERROR"), Some(7))
            })
            .then_compute_output(move |call| {
                calls.get().push(call.next_token.clone());
                let event = |at: i64, text: &str| {
                    let stream = "staging-web/web/0123456789abcdef0123456789abcdef";
                    FilteredLogEvent::builder().log_stream_name(stream).timestamp(at).message(text).build()
                };
                let page = FilterLogEventsOutput::builder();
                match call.next_token() {
                    None => page.events(event(9000, "second")).events(event(8000, "first\n")).next_token("a").build(),
                    Some("a") => page.next_token("b").build(),
                    _ => page.events(event(10_000, "third")).build(),
                }
            })
    }

    fn query() -> LogQuery {
        let text = |text: &str| text.to_owned();
        LogQuery { group: text("g"), prefix: Some(text("staging-web/")), since: 7, filter: Some(text("ERROR")) }
    }

    #[tokio::test]
    async fn log_pages_are_streamed_and_an_empty_one_is_not_the_end() {
        let calls = Fake::<Vec<Option<String>>>::new();
        let logs = Logs::of(pb_aws::mock_client!(aws_sdk_cloudwatchlogs, [&pages(&calls)]));
        let mut seen = Vec::new();
        let each = |lines: Vec<super::LogLine>| {
            seen.push((calls.get().len(), lines.iter().map(|line| line.message.clone()).collect::<Vec<_>>()));
            assert!(lines.iter().all(|line| (line.service.as_str(), &line.task[..4]) == ("staging-web", "0123")));
            true
        };
        logs.read(&query(), each).await.unwrap();
        assert_eq!(seen, [(1, vec!["first".to_owned(), "second".to_owned()]), (3, vec!["third".to_owned()])]);
    }

    #[tokio::test]
    async fn log_pages_stop_when_the_reader_stops() {
        let calls = Fake::<Vec<Option<String>>>::new();
        let logs = Logs::of(pb_aws::mock_client!(aws_sdk_cloudwatchlogs, [&pages(&calls)]));
        logs.read(&query(), |_| false).await.unwrap();
        assert_eq!(calls.get().len(), 1);
    }
}
