//! `cargo xtask bench`: cost of a plan, a deploy, an update and a destroy, compared with Terraform if it is installed.

mod build;
mod document;
mod endpoint;
mod lower_bound;
mod machine;
mod measure;
mod memory;
mod options;
mod pb_deploy;
mod phase;
mod report;
mod request_log;
mod results;
mod setting;
mod stats;
mod terraform;
mod tool;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::emulator;
use crate::failure::{self, Failure};
use crate::project::Project;
use endpoint::Endpoint;
use machine::Machine;
use measure::Meter;
pub use options::BenchOptions;
use phase::Phase;
use report::Report;
use results::{LowerBounds, Results, Sample};
use setting::Setting;
use tool::{Sandbox, Tool};

/// Path of the document with the figures of complete runs, relative to the project's root.
const DOCUMENT: &str = "docs/benchmarks.md";

/// Measures, writes the report and prints a summary.
///
/// # Errors
///
/// Fails if this machine lacks a requirement, or if nothing can be measured at all. Failed phases are named in the
/// report.
pub fn run(project: &Project, options: &BenchOptions) -> Result<ExitCode, Failure> {
    memory::check()?;
    if options.build {
        return build::run(project, &options.line, options.report.as_deref());
    }
    let tools = tools(options.only, terraform::version().is_some())?;
    crate::tool::build(project)?;
    let mut bench = Bench::prepare(project, options, tools)?;
    if let Some(warning) = bench.machine.warning() {
        eprintln!("{warning}");
    }
    let file = bench.report_file();
    for &setting in &options.settings {
        bench.run_setting(setting, &file)?;
    }
    let report = bench.report();
    println!("{}", report.summary());
    eprintln!("the report is in {}", file.display());
    bench.finish()
}

/// Returns the tools to measure: both by default, only pb-deploy if Terraform is not installed.
fn tools(only: Option<Tool>, has_terraform: bool) -> Result<Vec<Tool>, Failure> {
    match (only, has_terraform) {
        (Some(Tool::Terraform), false) => Err(Failure::unavailable("`terraform` is not installed")),
        (Some(tool), _) => Ok(vec![tool]),
        (None, true) => Ok(vec![Tool::PbDeploy, Tool::Terraform]),
        (None, false) => {
            eprintln!("`terraform` is not installed: measuring only pb-deploy");
            Ok(vec![Tool::PbDeploy])
        }
    }
}

/// Removes the folders of runs that failed or were interrupted, because each contains a copy of the tool.
fn remove_stale_runs(homes: &Path) {
    for entry in std::fs::read_dir(homes).into_iter().flatten().flatten() {
        let process = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok());
        if process.is_some_and(|process| !Path::new(&format!("/proc/{process}")).exists()) {
            // If this fails, the leftover only takes up space.
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// A run of the benchmark.
struct Bench<'a> {
    project: &'a Project,
    options: &'a BenchOptions,
    tools: Vec<Tool>,
    meter: Meter,
    machine: Machine,
    /// Folder for everything that the run writes, except the report.
    home: PathBuf,
    /// Number of the most recent account.
    next: u32,
    results: Results,
}

impl<'a> Bench<'a> {
    fn prepare(project: &'a Project, options: &'a BenchOptions, tools: Vec<Tool>) -> Result<Self, Failure> {
        let python = emulator::python(project)?;
        let homes = project.target.join("bench");
        remove_stale_runs(&homes);
        let home = homes.join(std::process::id().to_string());
        failure::create_folder(&home)?;
        // The run uses a copy of the tool, because it takes long, and a build in the meantime must not change what is
        // measured.
        let copy = home.join("pb-deploy");
        let copied = std::fs::copy(project.tool(), &copy);
        copied.map_err(|error| Failure::io(format_args!("copy the tool to {}", copy.display()), &error))?;
        let provider = terraform::provider_version(project)?;
        let terraform = terraform::version().filter(|_| tools.contains(&Tool::Terraform));
        let machine = Machine::detect(project, &copy, &python, terraform.map(|version| (version, provider)));
        let meter = Meter { python, script: project.root.join("xtask/src/bench/measure.py") };
        Ok(Self { project, options, tools, meter, machine, home, next: 0, results: Results::default() })
    }

    /// Runs all rounds on one endpoint. The report is written after each round, so that an interrupted run also has
    /// results.
    fn run_setting(&mut self, setting: Setting, file: &Path) -> Result<(), Failure> {
        let home = self.home.join(setting.name());
        let endpoint = Endpoint::start(self.project, &self.meter.python, setting, &home)?;
        self.results.add_lower_bounds(LowerBounds::of(setting, &endpoint.timings()?)?);
        self.warm_up(&endpoint, &home)?;
        for round in 1..=self.options.rounds.unwrap_or(setting.rounds()) {
            let mut tools = self.tools.clone();
            if round % 2 == 0 {
                tools.reverse();
            }
            for tool in tools {
                self.round(setting, round, tool, &endpoint, &home);
            }
            document::replace_benchmarks(file, &self.report().text())?;
        }
        Ok(())
    }

    /// Runs a plan that is not measured: the endpoint loads its services on first use, which takes time.
    fn warm_up(&mut self, endpoint: &Endpoint, home: &Path) -> Result<(), Failure> {
        let sandbox = self.sandbox(Tool::PbDeploy, endpoint, home)?;
        sandbox.prepare(self.project)?;
        let call = sandbox.command(Phase::PlanFromNothing, &self.program(Tool::PbDeploy))?;
        self.meter.run(&call, Phase::PlanFromNothing.exit_code(), &sandbox.folder.join("warm-up.log")).map(drop)
    }

    /// Runs all phases of one tool. A failure is recorded, and the remaining phases are skipped.
    fn round(&mut self, setting: Setting, round: u32, tool: Tool, endpoint: &Endpoint, home: &Path) {
        let (name, at) = (tool.name(), setting.name());
        let mut what = "preparing".to_owned();
        let result = self.phases(setting, tool, endpoint, home, &mut |phase, wall| {
            what = phase.name().to_owned();
            if let Some(wall) = wall {
                eprintln!("{at}, round {round}, {name}: {what}: {wall:.2} s");
            }
        });
        if let Err(failure) = result {
            let text = format!("{at}, round {round}, {name}: {what}: {failure}");
            eprintln!("error: {text}");
            self.results.failures.push(text);
        }
    }

    /// Runs the phases, and calls `progress` when a phase starts and, with its seconds, when it has ended.
    fn phases(
        &mut self,
        setting: Setting,
        tool: Tool,
        endpoint: &Endpoint,
        home: &Path,
        progress: &mut dyn FnMut(Phase, Option<f64>),
    ) -> Result<(), Failure> {
        let sandbox = self.sandbox(tool, endpoint, home)?;
        sandbox.prepare(self.project)?;
        for (number, phase) in Phase::ALL.into_iter().enumerate() {
            progress(phase, None);
            let call = sandbox.command(phase, &self.program(tool))?;
            let (_, before) = request_log::since(endpoint.url(), &sandbox.account, 0)?;
            let log = sandbox.folder.join(format!("{number}.log"));
            let usage = self.meter.run(&call, phase.exit_code(), &log)?;
            let (calls, _) = request_log::since(endpoint.url(), &sandbox.account, before)?;
            progress(phase, Some(usage.wall));
            self.results.add(Sample { setting, tool, phase, usage, calls });
        }
        Ok(())
    }

    fn sandbox(&mut self, tool: Tool, endpoint: &Endpoint, home: &Path) -> Result<Sandbox, Failure> {
        self.next += 1;
        Sandbox::create(tool, self.next, endpoint.url(), home)
    }

    fn program(&self, tool: Tool) -> PathBuf {
        match tool {
            Tool::PbDeploy => self.home.join("pb-deploy"),
            Tool::Terraform => terraform::PROGRAM.into(),
        }
    }

    /// Returns the path of the report. Only a complete run replaces the figures in the documentation.
    fn report_file(&self) -> PathBuf {
        match (&self.options.report, self.options.is_complete()) {
            (Some(file), _) => file.clone(),
            (None, true) => self.project.root.join(DOCUMENT),
            (None, false) => self.project.target.join("bench").join("report.md"),
        }
    }

    fn report(&self) -> Report<'_> {
        Report { options: self.options, tools: &self.tools, machine: &self.machine, results: &self.results }
    }

    /// Prints the totals, and removes the files of the run unless a phase failed.
    fn finish(self) -> Result<ExitCode, Failure> {
        let failed = self.results.failures.len();
        println!("{} phases measured, {failed} failed", self.results.count());
        if failed > 0 {
            eprintln!("the output of the tools is in {}", self.home.display());
            return Ok(ExitCode::FAILURE);
        }
        // If this fails, the leftover only takes up space.
        let _ = std::fs::remove_dir_all(&self.home);
        Ok(ExitCode::SUCCESS)
    }
}

#[cfg(test)]
mod tests;
