//! The modules of one crate, and the files to which their paths lead.

use std::collections::BTreeMap;

use super::source::{self, Import, Path, Source};

/// Maximum number of imports that the resolution of one path follows.
const FOLLOWED_MAX: usize = 8;

/// Sources of a crate by path relative to `src`.
pub type Files = BTreeMap<String, String>;

/// The modules of a crate; a module is its place in the list, and 0 is the crate root.
pub struct Modules(Vec<Module>);

struct Module {
    file: String,
    parent: Option<usize>,
    children: BTreeMap<String, usize>,
    source: Source,
}

/// The destination of a path.
#[derive(Clone, Copy)]
enum Target {
    Module(usize),
    /// An item of this module.
    Item(usize),
    /// An item or a module of another crate.
    Elsewhere,
}

/// A reference of one file to another.
#[derive(Debug, PartialEq, Eq)]
pub struct Reference {
    pub from: String,
    pub to: String,
    pub line: usize,
}

impl Modules {
    /// Returns the modules below a crate root, and a problem for each module whose file is missing.
    pub fn load(files: &Files, root: &str) -> (Self, Vec<String>) {
        let mut modules = Self(Vec::new());
        let mut problems = Vec::new();
        if let Some(text) = files.get(root) {
            modules.add(files, (root, ""), None, source::parse(text), &mut problems);
        }
        (modules, problems)
    }

    /// Adds a module and its descendants. `folder` is the folder of the files of its children.
    fn add(
        &mut self,
        files: &Files,
        (file, folder): (&str, &str),
        parent: Option<usize>,
        mut source: Source,
        problems: &mut Vec<String>,
    ) -> usize {
        let (inline, names) = (std::mem::take(&mut source.inline), std::mem::take(&mut source.files));
        let id = self.0.len();
        self.0.push(Module { file: file.to_owned(), parent, children: BTreeMap::new(), source });
        for (name, source) in inline {
            let child = self.add(files, (file, &format!("{folder}{name}/")), Some(id), source, problems);
            self.0[id].children.insert(name, child);
        }
        for name in names.into_iter().filter(|name| name != "tests") {
            let below = format!("{folder}{name}/");
            let candidates = [format!("{folder}{name}.rs"), format!("{below}mod.rs")];
            let Some((path, text)) = candidates.iter().find_map(|path| files.get_key_value(path)) else {
                problems.push(format!("{file}: the module `{name}` has no file"));
                continue;
            };
            let child = self.add(files, (path, &below), Some(id), source::parse(text), problems);
            self.0[id].children.insert(name, child);
        }
        id
    }

    /// Returns the references between the files of the crate. Re-exports are none.
    pub fn references(&self) -> Vec<Reference> {
        let mut references = Vec::new();
        for (id, module) in self.0.iter().enumerate() {
            let imports = module.source.imports.iter().filter(|import| !import.is_reexport);
            let imports = imports.map(|Import { path, line, .. }| (self.resolve(id, path, FOLLOWED_MAX), *line));
            let paths = module.source.paths.iter();
            let paths = paths.map(|Path { segments, line }| (self.resolve_inline(id, segments), *line));
            for (target, line) in imports.chain(paths) {
                let (Target::Module(to) | Target::Item(to)) = target else { continue };
                let to = &self.0[to].file;
                if *to != module.file {
                    references.push(Reference { from: module.file.clone(), to: to.clone(), line });
                }
            }
        }
        references
    }

    /// Returns the destination of a path outside of a `use` declaration. A path that begins with an imported item leads
    /// nowhere, because its import is a reference already.
    fn resolve_inline(&self, id: usize, path: &[String]) -> Target {
        match self.resolve(id, &path[..1], FOLLOWED_MAX) {
            Target::Item(_) => Target::Elsewhere,
            _ => self.resolve(id, path, FOLLOWED_MAX),
        }
    }

    /// Returns the destination of a path in a module. At most `followed` imports are followed.
    fn resolve(&self, id: usize, path: &[String], followed: usize) -> Target {
        let parent = |id: usize| self.0[id].parent.map_or(Target::Elsewhere, Target::Module);
        let mut target = Target::Module(id);
        for (index, segment) in path.iter().enumerate() {
            let Target::Module(at) = target else { break };
            target = match segment.as_str() {
                "crate" => Target::Module(0),
                "self" => Target::Module(at),
                "super" => parent(at),
                // A name that the first segment does not find is a crate or a type of the prelude.
                name if index == 0 => self.member(at, name, followed).unwrap_or(Target::Elsewhere),
                name => self.member(at, name, followed).unwrap_or(Target::Item(at)),
            };
        }
        target
    }

    /// Returns the destination of a name in a module, or `None` if neither its items nor its imports have that name.
    fn member(&self, id: usize, name: &str, followed: usize) -> Option<Target> {
        let Module { children, source, .. } = &self.0[id];
        if let Some(child) = children.get(name) {
            return Some(Target::Module(*child));
        }
        if source.items.contains(name) {
            return Some(Target::Item(id));
        }
        let followed = followed.checked_sub(1)?;
        if let Some(import) = source.imports.iter().find(|import| import.name.as_deref() == Some(name)) {
            return Some(self.resolve(id, &import.path, followed));
        }
        let globs = source.imports.iter().filter(|import| import.name.is_none());
        globs.map(|import| self.resolve(id, &import.path, followed)).find_map(|target| match target {
            Target::Module(other) if other != id => self.member(other, name, followed),
            _ => None,
        })
    }
}
