//! `graph`: prints the dependencies of the resources for Graphviz or Mermaid.

use crate::cli::{Global, GraphFormat};
use crate::exit::{Error, Exit};
use crate::output::console;
use crate::stack;
use crate::workspace::context::load_workspace;
use crate::workspace::prerequisites::Prerequisites;
use pb_engine::{Address, Graph};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

type Dependencies<'a> = Vec<(&'a Address, Vec<&'a Address>)>;

/// Prints the graph of a workspace from its configuration. Makes no AWS calls.
///
/// # Errors
/// An invalid configuration.
pub async fn graph(global: &Global, workspace: &str, format: GraphFormat) -> Result<Exit, Error> {
    let workspace = load_workspace(global, workspace)?;
    let aws =
        pb_aws::connect(&pb_aws::Access { region: workspace.region.clone(), ..pb_aws::Access::default() }).await?;
    let graph = stack::build(&aws, &workspace, &Prerequisites::unknown(&workspace))?;
    let needs = transitive_reduction(&graph);
    if global.json {
        let edges =
            needs.iter().flat_map(|(node, needs)| needs.iter().map(move |need| json!({"from": node, "to": need})));
        let nodes: Vec<_> = needs.iter().map(|(address, _)| address).collect();
        console::document(&json!({ "nodes": nodes, "edges": edges.collect::<Vec<_>>() }))?;
        return Ok(Exit::Done);
    }
    console::print_text(match format {
        GraphFormat::Dot => dot(&workspace.name, &needs),
        GraphFormat::Mermaid => mermaid(&needs),
    });
    Ok(Exit::Done)
}

/// Returns the direct dependencies of each resource, without those that are implied by other dependencies.
fn transitive_reduction(graph: &Graph) -> Dependencies<'_> {
    let all: Dependencies<'_> = graph.edges().chain(graph.check_edges()).collect();
    let mut below: BTreeMap<&Address, BTreeSet<&Address>> = BTreeMap::new();
    for (node, needs) in &all {
        let mut reach = BTreeSet::new();
        for need in needs {
            reach.insert(*need);
            reach.extend(below.get(need).into_iter().flatten());
        }
        below.insert(node, reach);
    }
    let direct = |needs: &[&'_ Address], need: &Address| {
        !needs.iter().any(|other| below.get(other).is_some_and(|below| below.contains(need)))
    };
    all.iter()
        .map(|(node, needs)| {
            let kept: BTreeSet<_> = needs.iter().copied().filter(|need| direct(needs, need)).collect();
            (*node, kept.into_iter().collect())
        })
        .collect()
}

/// Returns the addresses by concern.
fn concerns<'a>(needs: &'a Dependencies<'a>) -> BTreeMap<&'a str, Vec<&'a str>> {
    let mut concerns: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (address, _) in needs {
        let concern = address.as_str().split('/').next().unwrap_or_default();
        concerns.entry(concern).or_default().push(address.as_str());
    }
    concerns
}

fn dot(workspace: &str, needs: &Dependencies<'_>) -> String {
    let mut text = format!("digraph {workspace:?} {{\n  rankdir = \"RL\";\n  node [shape = \"box\"];\n");
    for (concern, addresses) in concerns(needs) {
        text.push_str(&format!("  subgraph \"cluster_{concern}\" {{\n    label = {concern:?};\n"));
        addresses.iter().for_each(|address| text.push_str(&format!("    {address:?};\n")));
        text.push_str("  }\n");
    }
    for (node, needed) in edges(needs) {
        text.push_str(&format!("  {node:?} -> {needed:?};\n"));
    }
    text.push_str("}\n");
    text
}

fn mermaid(needs: &Dependencies<'_>) -> String {
    // In Mermaid, an id cannot contain a slash, and a hyphen in it can be read as an arrow.
    let id = |address: &str| address.replace(['/', '-'], "_");
    let mut text = "flowchart RL\n".to_owned();
    for (concern, addresses) in concerns(needs) {
        text.push_str(&format!("  subgraph {concern}\n"));
        addresses.iter().for_each(|address| text.push_str(&format!("    {}[\"{address}\"]\n", id(address))));
        text.push_str("  end\n");
    }
    for (node, needed) in edges(needs) {
        text.push_str(&format!("  {} --> {}\n", id(node), id(needed)));
    }
    text
}

fn edges<'a>(needs: &'a Dependencies<'a>) -> impl Iterator<Item = (&'a str, &'a str)> {
    needs.iter().flat_map(|(node, needs)| needs.iter().map(|need| (node.as_str(), need.as_str())))
}
