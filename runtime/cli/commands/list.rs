//! `list`: all containers.

use super::{Command, print_json, state};
use crate::containers::Container;
use crate::flags::{Grammar, Said, switch, value};
use crate::{Failed, Globals};

pub const COMMAND: Command = Command {
    grammar: Grammar {
        name: "list",
        operands: "",
        count: (0, 0),
        strict: false,
        help: "list the containers",
        flags: &[value("format", "table|json", "how").or('f'), switch("quiet", "names only").or('q')],
    },
    run,
};

fn run(globals: &Globals, said: &Said) -> Result<u8, Failed> {
    let containers = Container::all(&globals.root);
    if said.has("quiet") {
        containers.iter().for_each(|container| println!("{}", container.state.id));
        return Ok(0);
    }
    if said.value("format") == Some("json") {
        print_json(&containers.iter().map(state::of).collect::<Vec<_>>())?;
        return Ok(0);
    }
    let row = |container: &Container| {
        let state = &container.state;
        let bundle = state.bundle.display().to_string();
        let (status, pid) = (container.status().word().to_owned(), state.pid.to_string());
        [state.id.clone(), pid, status, bundle, state.created.clone(), state.owner.clone()]
    };
    let head = ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"].map(str::to_owned);
    let rows: Vec<[String; 6]> = std::iter::once(head).chain(containers.iter().map(row)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    for row in &rows {
        let cells = row.iter().enumerate().map(|(column, cell)| format!("{cell:0$}", width(column)));
        println!("{}", cells.collect::<Vec<_>>().join("  ").trim_end());
    }
    Ok(0)
}
