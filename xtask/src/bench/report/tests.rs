use super::*;
use crate::bench::phase::Phase;
use crate::bench::results::{Floors, made_up};

fn measured() -> Results {
    let mut results = Results::default();
    for setting in Setting::USUAL {
        results.add_floors(Floors::of(setting, &made_up::pace()).unwrap());
        for phase in Phase::ALL {
            made_up::add(&mut results, (setting, Tool::Ours, phase), 2.0, 0.125, 32, 20);
            made_up::add(&mut results, (setting, Tool::Terraform, phase), 80.0, 9.0, 800, 60);
        }
    }
    results
}

fn report(line: &str, tools: &[Tool], results: &Results) -> String {
    let words: Vec<_> = line.split_whitespace().map(Into::into).collect();
    let machine = Machine {
        date: "2026-11-26".into(),
        hardware: "Some CPU, 2 cores".into(),
        load: "0.10".into(),
        versions: vec![("pb-deploy".into(), "pb-deploy 0.1.0".into())],
    };
    numbers::squeezed(
        &Report { options: &BenchOptions::parse(&words).unwrap(), tools, machine: &machine, results }.text(),
    )
}

#[test]
fn it_says_when_where_and_how_it_was_made() {
    let text = report("--rounds 1", &[Tool::Ours, Tool::Terraform], &measured());
    for part in ["2026-11-26", "Some CPU, 2 cores", "pb-deploy 0.1.0", "`cargo xtask bench --rounds 1`", "getrusage"] {
        assert!(text.contains(part), "{part}");
    }
    assert!(!text.contains("could be measured"));
}

#[test]
fn no_ratio_of_walls_of_a_deploy_stands_without_the_fixed_waits() {
    let text = report("", &[Tool::Ours, Tool::Terraform], &measured());
    let rows: Vec<&str> = text.lines().filter(|line| line.contains("40.0× |")).collect();
    assert_eq!(rows.len(), 2 * Phase::ALL.len(), "{rows:#?}");
    for row in rows {
        let waits = row.starts_with("| deploy") || row.starts_with("| destroy");
        assert_eq!(row.contains("fixed waits of its provider"), waits, "{row}");
        assert!(row.contains("of 80.0 s without a call"), "{row}");
    }
    assert_eq!(text.matches("30 s twice on a load balancer").count(), 2);
}

#[test]
fn floors_stand_with_every_link_where_there_are_delays() {
    let text = report("", &[Tool::Ours, Tool::Terraform], &measured());
    for part in
        ["| CreateVpc | 0.040 | a call |", "| cache node available | 10.0 | `cache_creating` |", "of a destroy**"]
    {
        assert_eq!(text.matches(part).count(), 1, "{part}");
    }
}

#[test]
fn without_a_peer_nothing_is_compared_and_that_is_said() {
    let mut results = Results::default();
    made_up::add(&mut results, (Setting::WithoutDelays, Tool::Ours, Phase::Deploy), 2.0, 0.1, 32, 20);
    let text = report("--setting a", &[Tool::Ours], &results);
    assert!(text.contains("Terraform is not installed"), "{text}");
    assert!(!text.contains('×'), "{text}");
    assert!(report("--setting a --only ours", &[Tool::Ours], &results).contains("Only pb-deploy was measured"));
}

#[test]
fn what_failed_is_said() {
    let mut results = measured();
    results.failures.push("b, round 1, Terraform: destroy: it ended with 1\n  | why".into());
    let text = report("", &[Tool::Ours, Tool::Terraform], &results);
    assert!(text.contains("\nb, round 1, Terraform: destroy: it ended with 1\n| why"), "{text}");
}

#[test]
fn calls_stand_by_operation_and_phase() {
    let text = report("--setting a", &[Tool::Ours, Tool::Terraform], &measured());
    assert!(text.contains("| ec2:DescribeVpcs | 20 | 20 | 20 | 20 | 20 |"), "{text}");
    assert!(text.contains("| **all** | 60 | 60 | 60 | 60 | 60 |"), "{text}");
}
