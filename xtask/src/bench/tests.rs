use super::*;

/// Returns the Python of the emulator's installation, for tests.
pub fn interpreter() -> PathBuf {
    emulator::python(&Project::find().unwrap()).unwrap()
}

fn options(line: &str) -> BenchOptions {
    BenchOptions::parse(&line.split_whitespace().map(Into::into).collect::<Vec<_>>()).unwrap()
}

#[test]
fn tools_follow_from_options_and_terraform() {
    assert_eq!(tools(None, true).unwrap(), [Tool::PbDeploy, Tool::Terraform]);
    assert_eq!(tools(None, false).unwrap(), [Tool::PbDeploy]);
    assert_eq!(tools(Some(Tool::Terraform), true).unwrap(), [Tool::Terraform]);
    assert!(tools(Some(Tool::Terraform), false).unwrap_err().to_string().contains("not installed"));
}

#[test]
fn one_round_of_pb_deploy_without_delays() {
    let project = Project::find().unwrap();
    crate::tool::build(&project).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("report.md");
    let options = options(&format!("--rounds 1 --only ours --setting a --report {}", file.display()));
    let mut bench = Bench::prepare(&project, &options, vec![Tool::PbDeploy]).unwrap();
    bench.run_setting(Setting::WithoutDelays, &file).unwrap();
    assert_eq!(bench.results.failures, Vec::<String>::new());
    let of = |phase| bench.results.summarize(Setting::WithoutDelays, Tool::PbDeploy, phase).unwrap();
    for phase in Phase::ALL {
        let measured = of(phase);
        assert!(measured.cpu.median > 0.0 && measured.peak.median > 1.0 && measured.wall.median > 0.0, "{measured:?}");
    }
    let deploy = of(Phase::Deploy).operations;
    assert_eq!((deploy["ec2:CreateVpc"], deploy["elasticache:CreateReplicationGroup"]), (1, 1), "{deploy:?}");
    let changes = |phase| {
        let reads = ["Describe", "List", "Get", "Head", "BatchGet"];
        let all =
            of(phase).operations.into_keys().filter(|name| !name.starts_with("s3:") && !name.starts_with("dynamodb:"));
        all.filter(|name| !reads.iter().any(|read| name.contains(&format!(":{read}")))).collect::<Vec<_>>()
    };
    assert_eq!(changes(Phase::PlanFromNothing), Vec::<String>::new());
    assert_eq!(changes(Phase::PlanWithoutChanges), Vec::<String>::new());
    assert_eq!(changes(Phase::Update), ["logs:PutRetentionPolicy"]);
    assert!(changes(Phase::Destroy).contains(&"ec2:DeleteVpc".to_owned()));
    let report = report::numbers::without_padding(&std::fs::read_to_string(&file).unwrap());
    assert!(report.contains("| deploy | pb-deploy | 1 |") && report.contains("| ec2:CreateVpc |"), "{report}");
    assert_eq!(format!("{:?}", bench.finish().unwrap()), format!("{:?}", ExitCode::SUCCESS));
}

#[test]
fn only_stale_runs_are_removed() {
    let homes = tempfile::tempdir().unwrap();
    let (running, stale) = (homes.path().join(std::process::id().to_string()), homes.path().join(u32::MAX.to_string()));
    std::fs::create_dir(&running).unwrap();
    std::fs::create_dir(&stale).unwrap();
    std::fs::write(homes.path().join("report.md"), "").unwrap();
    remove_stale_runs(homes.path());
    assert!(running.exists() && !stale.exists() && homes.path().join("report.md").exists());
}

#[test]
fn partial_run_does_not_replace_the_document() {
    let project = Project::find().unwrap();
    let file = |line: &str| {
        let options = options(line);
        let meter = Meter { python: "python3".into(), script: "measure.py".into() };
        let (machine, results) = (Machine::default(), Results::default());
        let (home, tools) = (project.target.join("bench"), vec![Tool::PbDeploy]);
        Bench { project: &project, options: &options, tools, meter, machine, home, next: 0, results }.report_file()
    };
    assert_eq!(file(""), project.root.join(DOCUMENT));
    assert_eq!(file("--setting a"), project.target.join("bench/report.md"));
    assert_eq!(file("--only ours --report x.md"), Path::new("x.md"));
}
