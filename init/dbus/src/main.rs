//! The facade: systemd's D-Bus interfaces over PID 1's own socket.
//!
//! A translator. It holds nothing that PID 1 does not know, so it may end at any time: clients connect again. One object
//! tree is served over two transports, /run/systemd/private (`server`) and the system bus (`bus`).
//!
//! - `wire`, `auth`, `stream`: messages, who is there, connections. `path`: names of objects.
//! - `link`, `world`: PID 1, and what is known of it.
//! - `dispatch`, `introspect`: from a call to its answer, over the tables of `interface`.
//! - `actions`: what can be done to units and jobs. `transient`: units that are made by calls. `cgroup`: what groups say of themselves.

mod actions;
mod auth;
mod bus;
mod cgroup;
mod dispatch;
mod fault;
mod interface;
mod introspect;
mod limits;
mod link;
mod objects;
mod path;
mod server;
mod signals;
mod stream;
mod transient;
mod value;
mod wire;
mod world;

use std::process::ExitCode;

use server::Server;

fn main() -> ExitCode {
    let listener = match server::listener() {
        Ok(listener) => listener,
        Err(error) => {
            eprintln!("cannot take the socket that PID 1 opened: {error}");
            return ExitCode::FAILURE;
        }
    };
    match Server::new(listener).and_then(|mut server| server.run()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("PID 1 cannot be asked: {error}");
            ExitCode::FAILURE
        }
    }
}
