use super::*;
use crate::bench::phase::Phase;
use crate::bench::results::{LowerBounds, fixtures};

fn measured() -> Results {
    let mut results = Results::default();
    for setting in Setting::USUAL {
        results.add_lower_bounds(LowerBounds::of(setting, &fixtures::timings()).unwrap());
        for phase in Phase::ALL {
            fixtures::add(&mut results, (setting, Tool::PbDeploy, phase), 2.0, 0.125, 32, 20);
            fixtures::add(&mut results, (setting, Tool::Terraform, phase), 80.0, 9.0, 800, 60);
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
    numbers::without_padding(
        &Report { options: &BenchOptions::parse(&words).unwrap(), tools, machine: &machine, results }.text(),
    )
}

#[test]
fn report_names_date_machine_and_command() {
    let text = report("--rounds 1", &[Tool::PbDeploy, Tool::Terraform], &measured());
    for part in ["2026-11-26", "Some CPU, 2 cores", "pb-deploy 0.1.0", "`cargo xtask bench --rounds 1`", "getrusage"] {
        assert!(text.contains(part), "{part}");
    }
    assert!(!text.contains("could be measured"));
}

#[test]
fn wall_ratios_name_the_fixed_waits() {
    let text = report("", &[Tool::PbDeploy, Tool::Terraform], &measured());
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
fn lower_bounds_list_every_link() {
    let text = report("", &[Tool::PbDeploy, Tool::Terraform], &measured());
    for part in
        ["| CreateVpc | 0.040 | a call |", "| cache node available | 10.0 | `cache_creating` |", "of a destroy**"]
    {
        assert_eq!(text.matches(part).count(), 1, "{part}");
    }
}

#[test]
fn report_of_one_tool_says_so() {
    let mut results = Results::default();
    fixtures::add(&mut results, (Setting::WithoutDelays, Tool::PbDeploy, Phase::Deploy), 2.0, 0.1, 32, 20);
    let text = report("--setting a", &[Tool::PbDeploy], &results);
    assert!(text.contains("Terraform was not installed"), "{text}");
    assert!(!text.contains('×'), "{text}");
    assert!(report("--setting a --only ours", &[Tool::PbDeploy], &results).contains("Only pb-deploy was measured"));
}

#[test]
fn report_lists_failures() {
    let mut results = measured();
    results.failures.push("b, round 1, Terraform: destroy: it ended with 1\n  | why".into());
    let text = report("", &[Tool::PbDeploy, Tool::Terraform], &results);
    assert!(text.contains("\nb, round 1, Terraform: destroy: it ended with 1\n| why"), "{text}");
}

#[test]
fn report_lists_calls_by_operation_and_phase() {
    let text = report("--setting a", &[Tool::PbDeploy, Tool::Terraform], &measured());
    assert!(text.contains("| ec2:DescribeVpcs | 20 | 20 | 20 | 20 | 20 |"), "{text}");
    assert!(text.contains("| **all** | 60 | 60 | 60 | 60 | 60 |"), "{text}");
}
