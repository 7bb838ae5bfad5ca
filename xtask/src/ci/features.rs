//! Feature unification: the tool and its tests must be built with the same features of their dependencies.
//!
//! Cargo builds a crate with all features that its users in one build enable together. If the workspace's tests enable
//! more features of a dependency of the AWS SDK than the tool does, every SDK crate is compiled twice, which takes
//! minutes after each change of the lock file.

use std::collections::{BTreeMap, BTreeSet};

use crate::failure::Failure;
use crate::project::Project;

/// The features of each package in a build, and the dependencies between the packages.
#[derive(Debug, Default)]
struct Tree {
    features: BTreeMap<String, BTreeSet<String>>,
    edges: BTreeMap<String, BTreeSet<String>>,
}

/// Returns a problem for each dependency of the SDK whose features differ between the tool and the tests.
///
/// # Errors
///
/// Fails if cargo does not report the features.
pub fn check(project: &Project) -> Result<Vec<String>, Failure> {
    let tool = tree(project, &["--package", "pb-orchestrator", "--edges", "normal,build"])?;
    let tests = tree(project, &["--workspace", "--edges", "normal,build,dev"])?;
    Ok(problems(&tool, &tests))
}

fn tree(project: &Project, arguments: &[&str]) -> Result<Tree, Failure> {
    let mut command = project.cargo("tree");
    command.args(["--prefix", "depth", "--format", "|{p}|{f}"]).args(arguments);
    let output = command.output().map_err(|error| Failure::io("run cargo tree", &error))?;
    if !output.status.success() {
        return Err(Failure::new(format!("cargo tree failed: {}", String::from_utf8_lossy(&output.stderr))));
    }
    Ok(Tree::parse(&String::from_utf8_lossy(&output.stdout)))
}

fn problems(tool: &Tree, tests: &Tree) -> Vec<String> {
    let below = tool.sdk_and_dependencies();
    if below.is_empty() {
        return vec!["cargo tree shows no AWS SDK in the tool".to_owned()];
    }
    let differs = |package: &&str| tool.features.get(*package) != tests.features.get(*package);
    let problem = |package: &str| {
        let words = |tree: &Tree| {
            let sets = tree.features.get(package).into_iter().flatten();
            sets.map(|set| format!("`{set}`")).collect::<Vec<_>>().join(" and ")
        };
        format!("{package} has the features {} in the tool, {} with the tests", words(tool), words(tests))
    };
    let mut problems: Vec<String> = below.into_iter().filter(differs).map(problem).collect();
    if !problems.is_empty() {
        problems.push("hint: add the features in the root Cargo.toml, next to those of aws-runtime".to_owned());
    }
    problems
}

impl Tree {
    /// Parses lines such as `2|tokio v1.54.1|fs,net`, indented by depth. Only the first line of a package is followed
    /// by its dependencies.
    fn parse(text: &str) -> Self {
        let mut tree = Self::default();
        let mut above: Vec<String> = Vec::new();
        for line in text.lines() {
            let mut parts = line.splitn(3, '|');
            let (Some(depth), Some(package), Some(features)) = (parts.next(), parts.next(), parts.next()) else {
                continue;
            };
            let Ok(depth) = depth.parse::<usize>() else {
                continue;
            };
            let package = package.split(" (").next().unwrap_or(package).to_owned();
            let features = features.trim_end_matches(" (*)").to_owned();
            tree.features.entry(package.clone()).or_default().insert(features);
            above.truncate(depth);
            if let Some(parent) = above.last() {
                tree.edges.entry(parent.clone()).or_default().insert(package.clone());
            }
            above.push(package);
        }
        tree
    }

    /// Returns the SDK crates and all their dependencies.
    fn sdk_and_dependencies(&self) -> BTreeSet<&str> {
        let mut todo: Vec<&str> = self.features.keys().map(String::as_str).collect();
        todo.retain(|package| package.starts_with("aws-sdk-"));
        let mut seen = BTreeSet::new();
        while let Some(package) = todo.pop() {
            if seen.insert(package) {
                todo.extend(self.edges.get(package).into_iter().flatten().map(String::as_str));
            }
        }
        seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOOL: &str = "\
0|pb-orchestrator v0.1.0 (/p)|
1|aws-sdk-ec2 v1.0.0|rt-tokio
2|tokio v1.0.0|fs
3|tokio-macros v2.0.0 (proc-macro)|
1|clap v4.0.0|std
2|tokio v1.0.0|fs (*)";

    fn compared(tests: &str) -> Vec<String> {
        problems(&Tree::parse(TOOL), &Tree::parse(tests))
    }

    #[test]
    fn identical_features_pass() {
        assert_eq!(compared(TOOL), Vec::<String>::new());
    }

    #[test]
    fn feature_enabled_only_by_tests_is_a_problem() {
        let found = compared(&TOOL.replace("|fs", "|fs,test-util"));
        assert!(found[0].contains("tokio v1.0.0") && found[0].contains("`fs,test-util` with the tests"), "{found:?}");
        assert_eq!(found.len(), 2, "the problem and the hint: {found:?}");
    }

    #[test]
    fn features_of_unrelated_crates_may_differ() {
        assert_eq!(compared(&TOOL.replace("|std", "|std,help")), Vec::<String>::new());
    }

    #[test]
    fn tree_without_sdk_is_a_problem() {
        assert_eq!(problems(&Tree::default(), &Tree::default()).len(), 1);
    }
}
