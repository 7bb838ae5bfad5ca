//! Import cycles between source files.
//!
//! A file imports another one if a path in it, in a `use` declaration or elsewhere, leads to an item of the other file.
//! A re-export leads to the file of its item, so files that only re-export are on no cycle. Code that is compiled only
//! for tests may import anything.

mod modules;
mod source;
mod tokens;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;

use super::sizes;
use crate::failure::{self, Failure};
use modules::{Files, Modules, Reference};

/// Crates whose files are checked.
const CRATES: [&str; 3] = ["engine", "fargate", "orchestrator"];
/// Files of crate roots.
const ROOTS: [&str; 2] = ["lib.rs", "main.rs"];

/// The files that each file imports, with the line of the first import.
type Imports = BTreeMap<String, BTreeMap<String, usize>>;

/// Returns a problem for each import cycle.
///
/// # Errors
///
/// Fails if a file or folder cannot be read.
pub fn check(root: &Path) -> Result<Vec<String>, Failure> {
    let mut problems = Vec::new();
    for name in CRATES {
        let folder = root.join("crates").join(name).join("src");
        let mut paths = Vec::new();
        sizes::source_files(&folder, &mut paths)?;
        let mut files = Files::new();
        for path in paths {
            let relative = path.strip_prefix(&folder).unwrap_or(&path).to_string_lossy().replace('\\', "/");
            files.insert(relative, failure::read(&path)?);
        }
        problems.extend(problems_in(&files).into_iter().map(|problem| format!("{name}: {problem}")));
    }
    Ok(problems)
}

/// Returns the problems of one crate.
fn problems_in(files: &Files) -> Vec<String> {
    let roots: Vec<&str> = ROOTS.into_iter().filter(|root| files.contains_key(*root)).collect();
    if roots.is_empty() {
        return vec![format!("found none of {}", ROOTS.join(", "))];
    }
    let mut problems = Vec::new();
    for root in roots {
        let (modules, missing) = Modules::load(files, root);
        problems.extend(missing);
        let mut imports = Imports::new();
        for Reference { from, to, line } in modules.references() {
            let first = imports.entry(from).or_default().entry(to).or_insert(line);
            *first = line.min(*first);
        }
        problems.extend(cycles(&imports).iter().map(|cycle| describe(cycle, &imports)));
    }
    problems
}

/// Returns the shortest cycle through each import that is on one, the shortest ones first. A cycle begins with the file
/// whose name is the first in alphabetical order.
fn cycles(imports: &Imports) -> Vec<Vec<&str>> {
    let mut found = BTreeSet::new();
    for (from, imported) in imports {
        for to in imported.keys() {
            let Some(mut cycle) = shortest_path(imports, to, from) else { continue };
            let first = cycle.iter().enumerate().min_by_key(|(_, file)| **file).map_or(0, |(index, _)| index);
            cycle.rotate_left(first);
            found.insert((cycle.len(), cycle));
        }
    }
    found.into_iter().map(|(_, cycle)| cycle).collect()
}

/// Returns the files of the shortest chain of imports from one file to another, with both.
fn shortest_path<'a>(imports: &'a Imports, from: &'a str, to: &'a str) -> Option<Vec<&'a str>> {
    let mut importers: BTreeMap<&str, &str> = BTreeMap::new();
    let mut queue = VecDeque::from([from]);
    while let Some(file) = queue.pop_front() {
        if file == to {
            let mut path = vec![to];
            while let Some(importer) = path.last().filter(|file| **file != from).and_then(|file| importers.get(file)) {
                path.push(importer);
            }
            path.reverse();
            return Some(path);
        }
        for imported in imports.get(file).into_iter().flat_map(BTreeMap::keys) {
            if imported != from && !importers.contains_key(imported.as_str()) {
                importers.insert(imported, file);
                queue.push_back(imported);
            }
        }
    }
    None
}

/// Describes a cycle: `a.rs -> b.rs -> a.rs (a.rs:3, b.rs:7)`.
fn describe(cycle: &[&str], imports: &Imports) -> String {
    let next = |index: usize| cycle[(index + 1) % cycle.len()];
    let lines = cycle.iter().enumerate().map(|(index, file)| format!("{file}:{}", imports[*file][next(index)]));
    let (chain, lines) = (cycle.join(" -> "), lines.collect::<Vec<_>>().join(", "));
    format!("{chain} -> {} ({lines})", cycle[0])
}

#[cfg(test)]
mod tests;
