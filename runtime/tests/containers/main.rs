//! Real containers. The program has a main of its own, because the runtime makes processes of single-threaded programs
//! only; it is also what runs in the containers (`probe`).
//!
//! Root is not needed: without it everything happens in a user namespace, and what cannot be tried there is named. Built
//! statically, the program can be PID 1 of a virtual machine, where there are control groups v2 and device programs.

mod files;
mod fixture;
mod ground;
mod lives;
mod namespaces;
mod probe;
mod processes;
mod stories;

fn main() {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() == Some(probe::ARGUMENT) {
        std::process::exit(probe::answer(arguments));
    }
    let wanted = fixture::Wanted::from_arguments();
    if !wanted.list(&stories::ALL) {
        ground::on_it(|ground| fixture::run(&stories::ALL, &wanted, ground));
    }
}
