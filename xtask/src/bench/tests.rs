use super::*;

/// The Python of the emulator, for tests.
pub fn interpreter() -> PathBuf {
    emulator::python(&Project::find().unwrap()).unwrap()
}

fn options(line: &str) -> BenchOptions {
    BenchOptions::parse(&line.split_whitespace().map(Into::into).collect::<Vec<_>>()).unwrap()
}

#[test]
fn who_is_measured() {
    assert_eq!(tools(None, true).unwrap(), [Tool::Ours, Tool::Terraform]);
    assert_eq!(tools(None, false).unwrap(), [Tool::Ours]);
    assert_eq!(tools(Some(Tool::Terraform), true).unwrap(), [Tool::Terraform]);
    assert!(tools(Some(Tool::Terraform), false).unwrap_err().to_string().contains("not installed"));
}

#[test]
fn a_round_of_ours_without_delays() {
    let project = Project::find().unwrap();
    crate::tool::build(&project).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("report.md");
    let options = options(&format!("--rounds 1 --only ours --setting a --report {}", file.display()));
    let mut bench = Bench::prepare(&project, &options, vec![Tool::Ours]).unwrap();
    bench.on(Setting::WithoutDelays, &file).unwrap();
    assert_eq!(bench.results.failures, Vec::<String>::new());
    let of = |phase| bench.results.of(Setting::WithoutDelays, Tool::Ours, phase).unwrap();
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
    let report = report::numbers::squeezed(&std::fs::read_to_string(&file).unwrap());
    assert!(report.contains("| deploy | pb-deploy | 1 |") && report.contains("| ec2:CreateVpc |"), "{report}");
    assert_eq!(format!("{:?}", bench.finish().unwrap()), format!("{:?}", ExitCode::SUCCESS));
}

#[test]
fn what_others_are_writing_is_left_and_what_is_over_is_removed() {
    let homes = tempfile::tempdir().unwrap();
    let (mine, over) = (homes.path().join(std::process::id().to_string()), homes.path().join(u32::MAX.to_string()));
    std::fs::create_dir(&mine).unwrap();
    std::fs::create_dir(&over).unwrap();
    std::fs::write(homes.path().join("report.md"), "").unwrap();
    remove_left(homes.path());
    assert!(mine.exists() && !over.exists() && homes.path().join("report.md").exists());
}

#[test]
fn a_part_of_a_run_leaves_the_documented_figures_alone() {
    let project = Project::find().unwrap();
    let file = |line: &str| {
        let options = options(line);
        let meter = Meter { python: "python3".into(), script: "measure.py".into() };
        let (machine, results) = (Machine::default(), Results::default());
        let (home, tools) = (project.target.join("bench"), vec![Tool::Ours]);
        Bench { project: &project, options: &options, tools, meter, machine, home, next: 0, results }.report_file()
    };
    assert_eq!(file(""), project.root.join(DOCUMENT));
    assert_eq!(file("--setting a"), project.target.join("bench/report.md"));
    assert_eq!(file("--only ours --report x.md"), Path::new("x.md"));
}
