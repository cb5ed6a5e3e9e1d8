//! Requirements and order between units.

use super::*;

#[test]
fn requirements_and_order() {
    check(
        &["t wants=a.service", "a.service requires=b.service after=b.service type=notify", "b.service type=notify"],
        &["start t", "ready b", "ready a"],
        &[
            "spawn b.service Main",
            "start b.service done",
            "spawn a.service Main",
            "start a.service done",
            "start t done",
            "started up",
        ],
        "t active, a.service running, b.service running",
    );
    check(
        &["t wants=a.service", "a.service requires=b.service after=b.service", "b.service type=notify"],
        &["start t", "exit b 1", "empty b"],
        &[
            "spawn b.service Main",
            "terminate b.service 15 true",
            "release b.service true",
            "start b.service failed",
            "start a.service dependency",
            "start t done",
            "started up",
        ],
        "t active, a.service dead, b.service failed",
    );
    check(
        &["a.service requires=ghost.service after=ghost.service"],
        &["start a"],
        &["start ghost.service invalid", "start a.service dependency", "started up"],
        "a.service dead",
    );
}

#[test]
fn what_is_bound_goes_down_with_it() {
    check(
        &["a.service type=simple binds-to=b.service after=b.service", "b.service type=simple"],
        &["start a", "exit b 1", "empty b", "exit a 0", "empty a"],
        &[
            "spawn b.service Main",
            "start b.service done",
            "spawn a.service Main",
            "start a.service done",
            "started up",
            "terminate b.service 15 true",
            "release b.service true",
            "terminate a.service 15 true",
            "terminate a.service 15 true",
            "release a.service true",
            "stop a.service done",
        ],
        "a.service dead, b.service failed",
    );
}

#[test]
fn restarts_stop_first_and_take_dependents_along() {
    check(
        &["a.service type=simple requires=b.service after=b.service", "b.service type=simple"],
        &["start a", "restart b", "exit a 0", "empty a", "exit b 0", "empty b"],
        &[
            "spawn b.service Main",
            "start b.service done",
            "spawn a.service Main",
            "start a.service done",
            "started up",
            "terminate a.service 15 true",
            "terminate a.service 15 true",
            "release a.service true",
            "terminate b.service 15 true",
            "terminate b.service 15 true",
            "release b.service true",
            "spawn b.service Main",
            "start b.service done",
            "spawn a.service Main",
            "start a.service done",
        ],
        "a.service running, b.service running",
    );
    check(&["a.service type=simple"], &["try-restart a"], &["nop a.service done", "started up"], "a.service dead");
}

#[test]
fn going_down_stops_all_in_reverse_and_is_not_taken_back() {
    check(
        &[
            "reboot.target requires=shutdown.target after=shutdown.target",
            "shutdown.target",
            "a.service type=simple after=b.service conflicts=shutdown.target before=shutdown.target",
            "b.service type=simple conflicts=shutdown.target before=shutdown.target",
        ],
        &["start b", "start a", "down", "start a", "exit a 0", "empty a", "exit b 0", "empty b"],
        &[
            "spawn b.service Main",
            "start b.service done",
            "started up",
            "spawn a.service Main",
            "start a.service done",
            "terminate a.service 15 true",
            "transaction is destructive: a start of reboot.target is queued",
            "terminate a.service 15 true",
            "release a.service true",
            "stop a.service done",
            "terminate b.service 15 true",
            "terminate b.service 15 true",
            "release b.service true",
            "stop b.service done",
            "start shutdown.target done",
            "Reboot",
            "start reboot.target done",
        ],
        "reboot.target active, shutdown.target active, a.service dead, b.service dead",
    );
}
