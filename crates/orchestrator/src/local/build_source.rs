//! The Dockerfile and the stage from which the image of a tag is built, as far as the project tells.

use crate::local::dockerfile;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};

/// Number of folder levels below the project in which Dockerfiles are looked for.
const MAX_DEPTH: usize = 3;

/// Maximum number of folders that are read.
const MAX_FOLDERS: usize = 500;

/// Folders of tools, which contain no Dockerfile of the project.
const SKIPPED: &[&str] = &["node_modules", "target", "venv", "__pycache__", "site-packages"];

/// Source of an image: the arguments of `docker build`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildSource {
    /// Folder of the Dockerfile.
    pub folder: PathBuf,
    /// Stage to build; absent for the last one.
    pub target: Option<String>,
}

/// Dockerfile of a project.
#[derive(Debug)]
struct Dockerfile {
    folder: PathBuf,
    depth: usize,
    stages: Vec<String>,
}

/// Dockerfiles of a project, those in the upper folders first.
#[derive(Debug, Default)]
pub struct Dockerfiles(Vec<Dockerfile>);

impl Dockerfiles {
    /// Finds the Dockerfiles in `project` and a few levels below it. Folders that cannot be read count as empty.
    pub fn find(project: &Path) -> Self {
        let mut found = Vec::new();
        let mut folders = VecDeque::from([(project.to_owned(), 0)]);
        for _ in 0..MAX_FOLDERS {
            let Some((folder, depth)) = folders.pop_front() else { break };
            if let Some(stages) = dockerfile::stages(&folder) {
                found.push(Dockerfile { folder: folder.clone(), depth, stages });
            }
            if depth < MAX_DEPTH {
                folders.extend(subfolders(&folder).into_iter().map(|folder| (folder, depth + 1)));
            }
        }
        Self(found)
    }

    /// Returns the source of the image with a tag: the Dockerfile that has a stage with one of `names`, otherwise the
    /// one in a folder with one of these names, otherwise the only one. Returns `None` if there is none, or if several
    /// are equally likely.
    pub fn source(&self, names: &[&str]) -> Option<BuildSource> {
        let by_stage = names.iter().find_map(|name| {
            let name = name.to_lowercase();
            let stage = self.uppermost(|file| file.stages.contains(&name))?;
            Some(BuildSource { folder: stage.folder.clone(), target: Some(name) })
        });
        let last_stage = |file: &Dockerfile| BuildSource { folder: file.folder.clone(), target: None };
        let by_folder = || {
            let is_named = |file: &Dockerfile, name: &str| file.folder.file_name().is_some_and(|folder| folder == name);
            names.iter().find_map(|name| self.uppermost(|file| is_named(file, name)).map(last_stage))
        };
        by_stage.or_else(by_folder).or_else(|| self.uppermost(|_| self.0.len() == 1).map(last_stage))
    }

    /// Returns the matching Dockerfile that is nearest to the project folder, if it is the only one at its level.
    fn uppermost(&self, matches: impl Fn(&Dockerfile) -> bool) -> Option<&Dockerfile> {
        let mut matching = self.0.iter().filter(|file| matches(file));
        let first = matching.next()?;
        matching.next().is_none_or(|next| next.depth > first.depth).then_some(first)
    }
}

/// Returns the folders in a folder, in alphabetical order, without hidden ones, links and those of tools.
fn subfolders(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(if folder.as_os_str().is_empty() { Path::new(".") } else { folder });
    let is_searched = |entry: &std::fs::DirEntry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        entry.file_type().is_ok_and(|kind| kind.is_dir()) && !name.starts_with('.') && !SKIPPED.contains(&name.as_str())
    };
    let entries = entries.into_iter().flatten().flatten().filter(is_searched);
    let mut found: Vec<PathBuf> = entries.map(|entry| folder.join(entry.file_name())).collect();
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::{BuildSource, Dockerfile, Dockerfiles};
    use std::path::Path;

    fn file(folder: &str, stages: &[&str]) -> Dockerfile {
        let depth = Path::new(folder).components().count();
        Dockerfile { folder: folder.into(), depth, stages: stages.iter().map(|stage| (*stage).to_owned()).collect() }
    }

    fn source(files: Vec<Dockerfile>, names: &[&str]) -> Option<(String, Option<String>)> {
        let BuildSource { folder, target } = Dockerfiles(files).source(names)?;
        Some((folder.display().to_string(), target))
    }

    #[test]
    fn stage_then_folder_then_only_dockerfile_is_used() {
        let all = || {
            vec![file("", &["base"]), file("app", &["base", "flask"]), file("celery", &[]), file("old/app", &["flask"])]
        };
        let target = |name: &str| Some(name.to_owned());
        assert_eq!(source(all(), &["Flask"]), Some(("app".to_owned(), target("flask"))));
        assert_eq!(source(all(), &["v1", "flask"]), Some(("app".to_owned(), target("flask"))));
        assert_eq!(source(all(), &["celery"]), Some(("celery".to_owned(), None)));
        assert_eq!(source(all(), &["v1"]), None);
        assert_eq!(source(vec![file("app", &[])], &["v1"]), Some(("app".to_owned(), None)));
        assert_eq!(source(Vec::new(), &["v1"]), None);
    }

    #[test]
    fn equally_likely_dockerfiles_are_not_used() {
        assert_eq!(source(vec![file("a", &["flask"]), file("b", &["flask"])], &["flask"]), None);
        assert_eq!(source(vec![file("a", &[]), file("b", &[])], &["flask"]), None);
    }

    #[test]
    fn dockerfiles_of_this_repository_are_found() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        for stage in ["flask", "celery"] {
            let expected = BuildSource { folder: root.join("examples/app"), target: Some(stage.to_owned()) };
            assert_eq!(Dockerfiles::find(&root).source(&[stage]), Some(expected));
        }
    }
}
