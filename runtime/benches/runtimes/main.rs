//! What this runtime costs beside others, and beside a floor: the same container by one clone3(2), the mounts and one
//! exec, without checks.
//!
//! ```text
//! runtimes [ROUNDS [CROWD]] [RUNTIME…]     the first is held against the others; this runtime against crun and runc,
//!                                          where they are installed
//! ```
//! All take turns, in a mount namespace of our own with control groups v2 and an empty /run. What is counted is CPU time
//! of the runtime's processes and of the container's, which become ours when their parents end: it depends less than the
//! time that passes on what else the machine does. This program is the container's, too, so it must be static:
//! `cargo xtask bench runtime` builds it so.

mod bundle;
mod cost;
mod floor;
mod ground;
mod lives;

use std::process::ExitCode;

use bundle::Bundle;
use cost::median;
use lives::Runtime;

const ROUNDS: usize = 30;
const DEFAULT: [&str; 3] = [env!("CARGO_BIN_EXE_ashlar-runtime"), "crun", "runc"];
const CROWD: usize = 1000;
/// Of the crowd's first and last, so many are looked at.
const SAMPLE: usize = 25;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["/true", ..] => ExitCode::SUCCESS,
        ["/sleep", ..] => loop {
            std::thread::park();
        },
        [_, "floor", root] => report(floor::run(root)),
        [_, "memory", name, id] => report(lives::print_memory(name, id)),
        [_, ref names @ ..] => {
            // Cargo says that it is a bench.
            let names: Vec<&str> = names.iter().copied().filter(|name| *name != "--bench").collect();
            let numbers: Vec<usize> = names.iter().map_while(|word| word.parse().ok()).collect();
            let names = match names[numbers.len()..] {
                [] => DEFAULT.into_iter().filter(|name| lives::is_there(name)).collect(),
                ref said => said.to_vec(),
            };
            let number = |place: usize, default| numbers.get(place).copied().unwrap_or(default);
            report(compare(number(0, ROUNDS), number(1, CROWD), &names))
        }
        [] => ExitCode::FAILURE,
    }
}

fn report(result: Result<(), String>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("error: {reason}");
            ExitCode::FAILURE
        }
    }
}

fn compare(rounds: usize, crowd: usize, names: &[&str]) -> Result<(), String> {
    ground::prepare()?;
    let bundle = Bundle::new(names[0])?;
    let runtimes = names.iter().map(|name| Runtime::new(name, &bundle)).collect::<Result<Vec<_>, _>>()?;
    println!("{}\n", ground::describe());
    for runtime in &runtimes {
        println!("- {}: {}", runtime.name(), runtime.version()?);
    }
    let names: Vec<&str> = runtimes.iter().map(Runtime::name).collect();
    println!("\nCPU time in ms, the least and the median of {rounds}; (ratio of the first to this one)\n");
    println!("| what | {} | floor |\n|---|{}---|", names.join(" | "), "---|".repeat(names.len()));
    for (what, makes, life) in lives::LIVES {
        let floor = makes.then(|| -> Action<'_> { Box::new(|| bundle.floor()) });
        let lives = runtimes.iter().map(|runtime| -> Action<'_> { Box::new(move || life(runtime)) });
        let costs = repeat(rounds, &lives.chain(floor).collect::<Vec<_>>())?;
        println!("| {what} {}|", costs.iter().map(|turns| cell(turns, &costs[0])).collect::<String>());
    }
    let memory = runtimes.iter().map(Runtime::memory).collect::<Result<Vec<_>, _>>()?;
    let memory: Vec<String> = memory.iter().map(|kib| format!("{:.2} MB", *kib as f64 * 1024.0 / 1e6)).collect();
    println!("| most memory of create | {} | |", memory.join(" | "));
    if crowd < 2 * SAMPLE {
        return Ok(());
    }
    let grown = runtimes.iter().map(|runtime| grow(runtime, crowd)).collect::<Result<Vec<_>, _>>()?;
    println!("| create + start, the {crowd}th against the 1st | {} | |", grown.join(" | "));
    Ok(())
}

/// Something whose cost is of interest.
type Action<'a> = Box<dyn Fn() -> Result<(), String> + 'a>;

/// Each of them in turn, `rounds` times and once before, which does not count.
fn repeat(rounds: usize, actions: &[Action<'_>]) -> Result<Vec<Vec<f64>>, String> {
    let mut costs = vec![Vec::new(); actions.len()];
    for round in 0..=rounds {
        for (action, costs) in actions.iter().zip(&mut costs) {
            let cost = cost::of(action)?;
            if round > 0 {
                costs.push(cost);
            }
        }
    }
    Ok(costs)
}

fn cell(turns: &[f64], first: &[f64]) -> String {
    let figures = |turns: &[f64]| (turns.iter().copied().fold(f64::INFINITY, f64::min), median(turns));
    let ((least, middle), (first_least, first_middle)) = (figures(turns), figures(first));
    format!("| {least:.2}, {middle:.2} ({:.2}, {:.2}) ", first_least / least, first_middle / middle)
}

/// What the last of many containers costs, as a ratio to the first.
fn grow(runtime: &Runtime<'_>, crowd: usize) -> Result<String, String> {
    let mut costs = Vec::new();
    for number in 0..crowd {
        costs.push(cost::of(&|| runtime.begin(&format!("crowd{number}")))?);
    }
    for number in 0..crowd {
        runtime.remove(&format!("crowd{number}"))?;
    }
    let (first, last) = (median(&costs[..SAMPLE]), median(&costs[crowd - SAMPLE..]));
    Ok(format!("{last:.2} / {first:.2} = {:.2}", last / first))
}
