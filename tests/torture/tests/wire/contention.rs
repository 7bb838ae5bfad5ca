//! Test of many processes that compete for one workspace. Some of the processes are killed.

use crate::{endpoint, ensure, held};
use pb_torture::{
    CallMatcher, FaultAction, FaultRule, InventoryClient, Problem, Proxy, Random, RunResult, TestConfig, TestWorkspace,
};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Duration of the lease in seconds. It is longer than in other tests, because twenty waiting processes keep the
/// endpoint busy and the holder's heartbeats must still succeed.
const LEASE: u32 = 6;
/// Log retention in days that each process configures. CloudWatch allows all of these values, and a single call changes
/// the retention.
const RETENTION_DAYS: [u32; 20] =
    [1, 3, 5, 7, 14, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288];
/// Number of processes that are killed once and then started again.
const KILLED_PROCESSES: usize = 7;

/// Moment at which a process is killed.
#[derive(Debug, Clone)]
enum Kill {
    /// At the call that the rule holds.
    At(FaultRule),
    /// After this number of milliseconds, whatever the process is doing then.
    Later(u64),
}

/// Writes of one attempt of a process: the entity tag of each write that S3 accepted.
type Writes = Vec<String>;

/// Chooses the processes to kill, and the moment for each.
fn kills(seed: u64) -> BTreeMap<usize, Kill> {
    let mut random = Random::new(seed);
    let at = |call: &str, nth, action| Kill::At(FaultRule { at: CallMatcher::nth(call, nth), action });
    let kinds = [
        at("logs:PutRetentionPolicy", 1, FaultAction::HoldBefore),
        at("logs:PutRetentionPolicy", 1, FaultAction::HoldAfter),
        at("s3:PutObject", 1, FaultAction::HoldBefore),
        at("s3:PutObject", 1, FaultAction::HoldAfter),
        at("s3:PutObject", 2, FaultAction::HoldAfter),
        Kill::Later(200 + random.next_number() % 3000),
        Kill::Later(200 + random.next_number() % 9000),
    ];
    let mut processes: Vec<usize> = (0..RETENTION_DAYS.len()).collect();
    random.shuffle(&mut processes);
    processes.into_iter().take(KILLED_PROCESSES).zip(kinds).collect()
}

fn config_with_retention(retention: u32) -> TestConfig {
    TestConfig { retention, ..TestConfig::initial() }
}

/// Runs one process to completion, after killing its first attempt if `kill` is given. Returns the writes of each
/// attempt.
fn run_process(workspace: &TestWorkspace, retention: u32, kill: Option<&Kill>) -> Result<Vec<Writes>, Problem> {
    let (config, mut attempts) = (config_with_retention(retention), Vec::new());
    let arguments = ["deploy", "staging", "--yes", "--lock-timeout", "600"];
    let wrote = |proxy: &Proxy| {
        proxy.wait_until_idle();
        let puts = proxy.seen().into_iter().filter(|seen| seen.call == "s3:PutObject" && seen.status == 200);
        puts.filter_map(|seen| seen.etag).collect()
    };
    if let Some(kill) = kill {
        let rules = if let Kill::At(rule) = kill { vec![rule.clone()] } else { Vec::new() };
        let proxy = Proxy::start(&workspace.endpoint, rules)?;
        let mut running = workspace.start(&proxy.url, &config, &arguments)?;
        let held = match kill {
            Kill::At(_) => Some(held(&proxy, &mut running)?),
            Kill::Later(millis) => {
                std::thread::sleep(Duration::from_millis(*millis));
                None
            }
        };
        running.kill()?;
        drop(held);
        attempts.push(wrote(&proxy));
    }
    for _ in 0..4 {
        let proxy = Proxy::pass_through(&workspace.endpoint)?;
        let ended: RunResult = workspace.start(&proxy.url, &config, &arguments)?.ended()?;
        attempts.push(wrote(&proxy));
        if !ended.lost_its_short_lease() {
            return ended.expect_code(0).map(|_| attempts);
        }
    }
    Err(format!("the machine is too slow for a lease of {LEASE} s"))
}

/// Returns the retention of the logs in a version of the state, unless that version has intents of an unfinished run.
fn retention(version: &Value) -> Option<u64> {
    let snapshot = &version["snapshot"];
    let mut records = snapshot["resources"].as_object()?.values();
    let logs = records.find(|record| record["kind"] == "logs.log_group")?;
    logs["spec"]["retention_days"].as_u64().filter(|_| snapshot["intents"].is_null())
}

fn run_contention(seed: u64) -> Result<(), Problem> {
    let workspace = TestWorkspace::new(endpoint()?, LEASE)?;
    let inventory_client = InventoryClient::start()?;
    workspace.finish(&TestConfig::initial(), "deploy")?;
    let before = inventory_client.versions(&workspace)?.len();
    let kills = kills(seed);
    let attempts: Vec<Writes> = std::thread::scope(|scope| {
        let workspace = &workspace;
        let start = |(index, days)| {
            let kill = kills.get(&index);
            scope.spawn(move || {
                run_process(workspace, days, kill).map_err(|why| format!("process {index}, {kill:?}: {why}"))
            })
        };
        let processes: Vec<_> = RETENTION_DAYS.into_iter().enumerate().map(start).collect();
        let ended = processes.into_iter().map(|one| one.join().unwrap_or_else(|_| Err("a thread panicked".to_owned())));
        ended.collect::<Vec<_>>().into_iter().collect::<Result<Vec<_>, Problem>>()
    })?
    .concat();
    let versions = inventory_client.versions(&workspace)?;
    let fences = check_order(&versions)?;
    check_one_writer_per_fence(&versions[before..], &attempts)?;
    let complete: BTreeSet<u64> = versions.iter().filter_map(|(_, version)| retention(version)).collect();
    let lost: Vec<u32> = RETENTION_DAYS.into_iter().filter(|days| !complete.contains(&u64::from(*days))).collect();
    ensure(lost.is_empty(), || {
        format!("these updates are in no version, but their processes exited with 0: {lost:?}")
    })?;

    workspace.finish(&TestConfig::initial(), "deploy")?;
    workspace.run(&TestConfig::initial(), &["plan", "staging", "--detailed-exitcode"])?.expect_code(0)?;
    println!(
        "{} processes, {} killed, {} attempts: {} versions with increasing serials, {fences} fencing tokens, no lost \
         update",
        RETENTION_DAYS.len(),
        kills.len(),
        attempts.len(),
        versions.len()
    );
    Ok(())
}

/// Checks that serials increase by one and fencing tokens never decrease, and returns the number of tokens.
fn check_order(versions: &[(String, Value)]) -> Result<usize, Problem> {
    let number = |version: &Value, name: &str| version["snapshot"][name].as_u64().unwrap_or_default();
    for pair in versions.windows(2) {
        let (one, next) = (&pair[0].1, &pair[1].1);
        ensure(number(next, "serial") == number(one, "serial") + 1, || {
            format!("serials do not increase by one: {pair:?}")
        })?;
        ensure(number(next, "fence") >= number(one, "fence"), || format!("the fencing token decreased: {pair:?}"))?;
        ensure(next["snapshot"]["lineage"] == one["snapshot"]["lineage"], || "the lineage changed".to_owned())?;
    }
    Ok(versions.iter().map(|(_, version)| number(version, "fence")).collect::<BTreeSet<_>>().len())
}

/// Checks that every acknowledged write is a version, and that each fencing token belongs to one attempt of one
/// process.
fn check_one_writer_per_fence(versions: &[(String, Value)], attempts: &[Writes]) -> Result<(), Problem> {
    let mut writers: BTreeMap<u64, BTreeSet<usize>> = BTreeMap::new();
    let mut found = 0;
    for (etag, version) in versions {
        let bare = |etag: &str| etag.trim_matches('"').to_owned();
        let writer = attempts.iter().position(|writes| writes.iter().any(|wrote| bare(wrote) == bare(etag)));
        let writer = writer.ok_or_else(|| format!("no process wrote the version {etag}"))?;
        writers.entry(version["snapshot"]["fence"].as_u64().unwrap_or_default()).or_default().insert(writer);
        found += 1;
    }
    let acknowledged: usize = attempts.iter().map(Vec::len).sum();
    ensure(found == acknowledged, || {
        format!("{acknowledged} writes were acknowledged, but there are {found} versions")
    })?;
    let shared: Vec<_> = writers.iter().filter(|(_, attempts)| attempts.len() != 1).collect();
    ensure(shared.is_empty(), || format!("fencing tokens that more than one process used: {shared:?}"))?;
    let distinct: BTreeSet<usize> = writers.values().flatten().copied().collect();
    ensure(distinct.len() == writers.len(), || "a process wrote under two fencing tokens".to_owned())
}

/// `PB_TORTURE_SEED` selects other processes to kill and other moments.
#[test]
fn twenty_competing_processes_lose_no_update() {
    let seed = std::env::var("PB_TORTURE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    if let Err(problem) = run_contention(seed) {
        panic!("with PB_TORTURE_SEED={seed}: {problem}");
    }
}
