//! Allowed dependencies between crates: the architecture as a table.

use serde_json::Value;

use crate::failure::Failure;
use crate::project::Project;

/// Allowed dependencies of one crate, including those of its tests.
struct Rule {
    package: &'static str,
    /// Crates of this workspace on which the crate may depend.
    allowed: &'static [&'static str],
    /// `true` if the crate may depend on crates of the AWS SDK.
    sdk: bool,
}

const ENGINE: &str = "pb-engine";
const AWS: &str = "pb-aws";
const RULES: &str = "pb-rules";
const DNS: &str = "pb-dns";
const CONCERN: &[&str] = &[ENGINE, AWS, RULES];

/// The rules of all crates. A crate without a rule fails the check, so that somebody decides on its dependencies.
const TABLE: &[Rule] = &[
    // The base: these crates use no AWS SDK, no terminal and no environment variables.
    Rule { package: ENGINE, allowed: &[], sdk: false },
    Rule { package: RULES, allowed: &[], sdk: false },
    Rule { package: "pb-config", allowed: &[RULES], sdk: false },
    Rule { package: DNS, allowed: &[], sdk: false },
    Rule { package: AWS, allowed: &[ENGINE], sdk: true },
    // The crates of the concerns: they do not depend on each other.
    Rule { package: "pb-net", allowed: CONCERN, sdk: true },
    Rule { package: "pb-redis", allowed: CONCERN, sdk: true },
    Rule { package: "pb-fargate", allowed: CONCERN, sdk: true },
    Rule { package: "pb-edge", allowed: &[ENGINE, AWS, RULES, DNS], sdk: true },
    Rule { package: "pb-state", allowed: &[ENGINE, AWS], sdk: true },
    Rule { package: "pb-bootstrap", allowed: CONCERN, sdk: true },
    Rule { package: "pb-terraform", allowed: &[ENGINE, AWS], sdk: true },
    // The only crate that depends on all the crates above.
    Rule {
        package: "pb-orchestrator",
        allowed: &[
            ENGINE,
            AWS,
            RULES,
            DNS,
            "pb-config",
            "pb-net",
            "pb-redis",
            "pb-fargate",
            "pb-edge",
            "pb-state",
            "pb-bootstrap",
            "pb-terraform",
        ],
        sdk: true,
    },
    // The stack on a simulated AWS. It builds the same graph as the tool, so it needs the same crates.
    Rule {
        package: "pb-simulation",
        allowed: &[ENGINE, AWS, "pb-config", "pb-state", "pb-edge", "pb-orchestrator"],
        sdk: true,
    },
    // These crates use the tool only as a program.
    Rule { package: "pb-torture", allowed: &[], sdk: false },
    Rule { package: "xtask", allowed: &[], sdk: false },
];

/// Returns a problem for each dependency that the table does not allow.
///
/// # Errors
///
/// Fails if cargo does not report the dependencies.
pub fn check(project: &Project) -> Result<Vec<String>, Failure> {
    let mut command = project.cargo("metadata");
    command.args(["--no-deps", "--format-version", "1"]);
    let output = command.output().map_err(|error| Failure::io("run cargo metadata", &error))?;
    if !output.status.success() {
        return Err(Failure::new(format!("cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr))));
    }
    let metadata: Value = serde_json::from_slice(&output.stdout)
        .map_err(|error| Failure::new(format!("cargo metadata is not JSON: {error}")))?;
    Ok(problems(&metadata))
}

/// Returns the problems in the output of `cargo metadata --no-deps`.
fn problems(metadata: &Value) -> Vec<String> {
    let packages = metadata["packages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let members: Vec<&str> = packages.iter().filter_map(|package| package["name"].as_str()).collect();
    let mut problems = Vec::new();
    if members.is_empty() {
        problems.push("cargo metadata lists no package".to_owned());
    }
    for package in packages {
        let name = package["name"].as_str().unwrap_or_default();
        let Some(rule) = TABLE.iter().find(|rule| rule.package == name) else {
            problems.push(format!("{name} is not in the table of xtask/src/ci/dependencies.rs"));
            continue;
        };
        let dependencies = package["dependencies"].as_array().map(Vec::as_slice).unwrap_or_default();
        let names = dependencies.iter().filter_map(|dependency| dependency["name"].as_str());
        problems.extend(names.filter_map(|dependency| rule.violation(dependency, &members)));
    }
    problems
}

impl Rule {
    /// Returns why a dependency is not allowed, or `None` if it is.
    fn violation(&self, dependency: &str, members: &[&str]) -> Option<String> {
        let name = self.package;
        if members.contains(&dependency) || TABLE.iter().any(|rule| rule.package == dependency) {
            let allowed = match self.allowed {
                [] => "on none of the workspace's crates".to_owned(),
                allowed => format!("only on {}", allowed.join(", ")),
            };
            let refused = !self.allowed.contains(&dependency);
            return refused.then(|| format!("{name} depends on {dependency}; it may depend {allowed}"));
        }
        let refused = dependency.starts_with("aws-") && !self.sdk;
        refused.then(|| format!("{name} depends on {dependency}; it must not use the AWS SDK"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Returns the problems of a workspace that has all crates of the table; only `package` has a dependency.
    fn problems_with(package: &str, dependency: &str, kind: &str) -> Vec<String> {
        let packages = TABLE.iter().map(|rule| {
            let all = if rule.package == package { vec![json!({"name": dependency, "kind": kind})] } else { vec![] };
            json!({"name": rule.package, "dependencies": all})
        });
        problems(&json!({"packages": packages.collect::<Vec<_>>()}))
    }

    #[test]
    fn allowed_dependencies_pass() {
        let allowed =
            [("pb-net", ENGINE), ("pb-redis", RULES), ("pb-state", AWS), ("pb-orchestrator", "pb-edge"), (AWS, ENGINE)];
        for (package, dependency) in allowed {
            assert_eq!(problems_with(package, dependency, "normal"), Vec::<String>::new(), "{package} -> {dependency}");
        }
        assert_eq!(problems_with(ENGINE, "tokio", "normal"), Vec::<String>::new());
        assert_eq!(problems_with("pb-net", "aws-sdk-ec2", "normal"), Vec::<String>::new());
    }

    #[test]
    fn forbidden_dependencies_are_refused() {
        let forbidden = [
            (ENGINE, RULES),
            (RULES, ENGINE),
            (AWS, RULES),
            ("pb-config", ENGINE),
            (DNS, ENGINE),
            ("pb-net", DNS),
            ("pb-net", "pb-redis"),
            ("pb-redis", "pb-net"),
            ("pb-fargate", "pb-edge"),
            ("pb-edge", "pb-state"),
            ("pb-state", RULES),
            ("pb-net", "pb-orchestrator"),
            ("xtask", ENGINE),
            ("pb-torture", "pb-orchestrator"),
            ("pb-orchestrator", "pb-simulation"),
        ];
        for (package, dependency) in forbidden {
            for kind in ["normal", "dev", "build"] {
                let found = problems_with(package, dependency, kind);
                assert_eq!(found.len(), 1, "{package} -> {dependency}: {found:?}");
                assert!(found[0].starts_with(&format!("{package} depends on {dependency};")), "{found:?}");
            }
        }
    }

    #[test]
    fn sdk_is_refused_where_the_table_forbids_it() {
        for package in [ENGINE, RULES, DNS, "pb-config", "pb-torture", "xtask"] {
            let found = problems_with(package, "aws-sdk-s3", "normal");
            assert!(found.len() == 1 && found[0].contains("must not use the AWS SDK"), "{found:?}");
        }
    }

    #[test]
    fn unknown_crate_and_empty_workspace_are_problems() {
        let found = problems(&json!({"packages": [{"name": "pb-new", "dependencies": []}]}));
        assert_eq!(found, ["pb-new is not in the table of xtask/src/ci/dependencies.rs"]);
        assert_eq!(problems(&json!({})).len(), 1);
    }
}
