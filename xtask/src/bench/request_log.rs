//! The calls of a tool, read from the endpoint's request log.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use crate::failure::Failure;
use crate::http;

/// Timeout for reading the request log; it is long because the endpoint may be busy.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Shortest gap without a call that counts as idle, in milliseconds.
const IDLE_MS: f64 = 1000.0;
/// Services that hold the state and the lock.
const STATE_SERVICES: [&str; 2] = ["s3", "dynamodb"];

/// A call in the request log.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// Service and action, as in `ec2:CreateVpc`.
    pub operation: String,
    /// Time of arrival, in milliseconds on the endpoint's clock.
    pub began_ms: f64,
    /// Time of the response, on the same clock.
    pub at_ms: f64,
    /// `true` if the call changes the stack; changes of state and lock do not count.
    pub changes: bool,
}

/// Returns the calls of an account with numbers above `number`, and the number of the last call.
///
/// # Errors
///
/// Fails if the endpoint does not answer with a request log.
pub fn since(url: &str, account: &str, number: u64) -> Result<(Vec<Call>, u64), Failure> {
    let failed = |why: String| Failure::new(format!("failed to read the request log of {url}: {why}"));
    let answer = http::get(url, &format!("/_pb/requests?since={number}&account={account}"), TIMEOUT).map_err(failed)?;
    parse(&answer.body, number).ok_or_else(|| failed(format!("status {} without a request log", answer.status)))
}

fn parse(text: &str, number: u64) -> Option<(Vec<Call>, u64)> {
    let document: Value = serde_json::from_str(text).ok()?;
    let entries = document["requests"].as_array()?;
    let calls: Option<Vec<Call>> = entries.iter().map(call).collect();
    let last = entries.last().map_or(Some(number), |entry| entry["seq"].as_u64())?;
    Some((calls?, last))
}

fn call(entry: &Value) -> Option<Call> {
    let (service, action) = (entry["service"].as_str()?, entry["action"].as_str()?);
    let (began_ms, at_ms) = (entry["began_ms"].as_f64()?, entry["at_ms"].as_f64()?);
    let changes = entry["mutating"].as_bool()? && !STATE_SERVICES.contains(&service);
    Some(Call { operation: format!("{service}:{action}"), began_ms, at_ms, changes })
}

/// Counts the calls of each operation.
pub fn by_operation(calls: &[Call]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for call in calls {
        *counts.entry(call.operation.clone()).or_insert(0) += 1;
    }
    counts
}

/// Returns the length of the longest sequence of calls in which each call arrived after the response to the call before
/// it. This is an upper bound for chains of dependent calls, because calls can follow each other without depending on
/// each other.
pub fn depth(calls: &[Call]) -> usize {
    let mut by_end: Vec<&Call> = calls.iter().collect();
    by_end.sort_by(|one, other| one.at_ms.total_cmp(&other.at_ms));
    let (mut deep, mut free_from) = (0, f64::NEG_INFINITY);
    for call in by_end {
        if call.began_ms >= free_from {
            deep += 1;
            free_from = call.at_ms;
        }
    }
    deep
}

/// The time between the first call and the last response, in seconds, split into three parts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TimeSplit {
    /// Until the first change: reads, plan, lock, state.
    pub before: f64,
    /// From the first change to the response to the last change.
    pub changes: f64,
    /// After the last change: waiting for its effect, writing the state, releasing the lock.
    pub after: f64,
}

/// Splits the time of a run into three parts; `None` if nothing was changed.
pub fn time_split(calls: &[Call]) -> Option<TimeSplit> {
    let first = |all: &mut dyn Iterator<Item = &Call>| all.map(|call| call.began_ms).min_by(f64::total_cmp);
    let last = |all: &mut dyn Iterator<Item = &Call>| all.map(|call| call.at_ms).max_by(f64::total_cmp);
    let changes = || calls.iter().filter(|call| call.changes);
    let (start, begin) = (first(&mut calls.iter())?, first(&mut changes())?);
    let (done, end) = (last(&mut changes())?, last(&mut calls.iter())?);
    let seconds = |from: f64, to: f64| (to - from) / 1000.0;
    Some(TimeSplit { before: seconds(start, begin), changes: seconds(begin, done), after: seconds(done, end) })
}

/// Returns the total seconds, between the first and the last call, of all gaps of at least one second without a call in
/// flight.
pub fn idle_seconds(calls: &[Call]) -> f64 {
    let mut by_begin: Vec<&Call> = calls.iter().collect();
    by_begin.sort_by(|one, other| one.began_ms.total_cmp(&other.began_ms));
    let (mut idle, mut busy_until) = (0.0, by_begin.first().map_or(0.0, |call| call.began_ms));
    for call in by_begin {
        let gap = call.began_ms - busy_until;
        if gap >= IDLE_MS {
            idle += gap;
        }
        busy_until = f64::max(busy_until, call.at_ms);
    }
    idle / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calls(times: &[(f64, f64)]) -> Vec<Call> {
        let call = |&(began_ms, at_ms): &(f64, f64)| Call {
            operation: "ec2:DescribeVpcs".into(),
            began_ms,
            at_ms,
            changes: false,
        };
        times.iter().map(call).collect()
    }

    #[test]
    fn request_log_is_parsed_with_its_last_number() {
        let text = r#"{"requests": [
            {"seq": 7, "service": "ec2", "action": "CreateVpc", "began_ms": 1, "at_ms": 41.5, "mutating": true},
            {"seq": 9, "service": "s3", "action": "PutObject", "began_ms": 50, "at_ms": 90.0, "mutating": true}]}"#;
        let (read, last) = parse(text, 3).unwrap();
        assert_eq!(last, 9);
        assert_eq!(read[0], Call { operation: "ec2:CreateVpc".into(), began_ms: 1.0, at_ms: 41.5, changes: true });
        assert!(!read[1].changes, "state is not part of the stack");
        assert_eq!(parse(r#"{"requests": []}"#, 3), Some((Vec::new(), 3)));
        assert_eq!(parse(r#"{"requests": [{"seq": 1}]}"#, 3), None, "not a log entry");
        assert_eq!(parse("no such path", 3), None);
    }

    #[test]
    fn calls_are_counted_by_operation() {
        let mut all = calls(&[(0.0, 1.0), (0.0, 1.0)]);
        all.push(Call { operation: "s3:GetObject".into(), began_ms: 0.0, at_ms: 1.0, changes: false });
        let expected = BTreeMap::from([("ec2:DescribeVpcs".to_owned(), 2), ("s3:GetObject".to_owned(), 1)]);
        assert_eq!(by_operation(&all), expected);
    }

    #[test]
    fn overlapping_calls_are_one_round_trip() {
        assert_eq!(depth(&[]), 0);
        assert_eq!(depth(&calls(&[(0.0, 40.0), (3.0, 55.0), (1.0, 48.0)])), 1);
        assert_eq!(depth(&calls(&[(50.0, 95.0), (0.0, 40.0), (3.0, 48.0), (49.0, 91.0)])), 2);
        assert_eq!(depth(&calls(&[(0.0, 40.0), (41.0, 82.0), (83.0, 124.0)])), 3);
    }

    #[test]
    fn time_split_has_three_parts() {
        let mut all = calls(&[(1000.0, 1040.0), (3000.0, 3040.0), (2000.0, 2500.0), (9000.0, 9500.0)]);
        assert_eq!(time_split(&all), None, "nothing was changed");
        all[1].changes = true;
        all[2].changes = true;
        assert_eq!(time_split(&all), Some(TimeSplit { before: 1.0, changes: 1.04, after: 6.46 }));
    }

    #[test]
    fn idle_time_excludes_calls_in_flight() {
        assert!(idle_seconds(&[]).abs() < 1e-9);
        let all = calls(&[(100.0, 140.0), (30_140.0, 30_180.0), (110.0, 10_140.0), (30_500.0, 30_540.0)]);
        assert!((idle_seconds(&all) - 20.0).abs() < 1e-9, "{}", idle_seconds(&all));
    }
}
