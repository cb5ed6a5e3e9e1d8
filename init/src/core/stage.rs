//! The commands around a service's main one, and the main ones of a oneshot: each list in its turn.

use ashlar_config::unit::{Command, Commands, KillMode, ServiceType};

use super::restart;
use super::service::Event;
use super::state::{Exit, Outcome, Sub};
use super::{Action, Core, Role, UnitId, Work};

/// A list of commands of a service, by the point of its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Whether it is started at all.
    Condition,
    /// Before the main one.
    Pre,
    /// Behind it.
    Post,
    /// To read its configuration again.
    Reload,
    /// To end.
    Stop,
    /// When it has ended.
    StopPost,
    /// While it is down. There is one process for it, which is no command of the unit's.
    Clean,
}

impl Stage {
    /// Its commands.
    pub fn of(self, commands: &Commands) -> &[Command] {
        match self {
            Self::Condition => &commands.condition,
            Self::Pre => &commands.start_pre,
            Self::Post => &commands.start_post,
            Self::Reload => &commands.reload,
            Self::Stop => &commands.stop,
            Self::StopPost => &commands.stop_post,
            Self::Clean => &[],
        }
    }

    /// The state in which they run.
    pub(super) fn state(self) -> Sub {
        match self {
            Self::Condition => Sub::Condition,
            Self::Pre => Sub::StartPre,
            Self::Post => Sub::StartPost,
            Self::Reload => Sub::Reload,
            Self::Stop => Sub::Stop,
            Self::StopPost => Sub::StopPost,
            Self::Clean => Sub::Cleaning,
        }
    }

    /// Whose commands run in a state.
    pub(super) fn in_state(sub: Sub) -> Option<Self> {
        let all = [Self::Condition, Self::Pre, Self::Post, Self::Reload, Self::Stop, Self::StopPost, Self::Clean];
        all.into_iter().find(|stage| stage.state() == sub)
    }

    /// What it is called when something is wrong with it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Condition => "condition",
            Self::Pre => "start-pre",
            Self::Post => "start-post",
            Self::Reload => "reload",
            Self::Stop => "stop",
            Self::StopPost => "stop-post",
            Self::Clean => "clean",
        }
    }
}

impl Core {
    pub(super) fn control_ended(&mut self, unit: UnitId, stage: Stage, number: usize, exit: Exit) {
        self.run_mut(unit).control = 0;
        let command = self.service(unit).and_then(|s| stage.of(&s.commands).get(number));
        let ignored = command.is_some_and(|command| command.ignore_failure);
        let clean = exit == Exit::Code(0) || ignored;
        let event = match (stage, exit) {
            _ if clean => Event::ControlDone,
            // It says that the service is not to be started, which is no failure.
            (Stage::Condition, Exit::Code(1..=254)) => {
                self.run_mut(unit).blame(Outcome::ExecCondition, || "its condition does not hold".into());
                Event::Unmet
            }
            // Neither says anything about the service itself.
            (Stage::Reload | Stage::Clean, _) => {
                self.log(3, unit, format!("{} command ended with {exit}", stage.name()));
                Event::ControlFailed
            }
            _ => {
                let name = stage.name();
                self.run_mut(unit).blame(restart::outcome_of(exit), || format!("{name} command ended with {exit}"));
                Event::ControlFailed
            }
        };
        self.work.push_back(Work::Happen(unit, event));
    }

    pub(super) fn kill_control(&mut self, unit: UnitId) {
        let pid = std::mem::take(&mut self.run_mut(unit).control);
        if pid != 0 {
            self.processes.remove(&pid);
            self.actions.push(Action::KillProcess { pid });
        }
    }

    /// Begins with the commands of a stage, if it has any.
    pub(super) fn begin_stage(&mut self, unit: UnitId, stage: Stage) -> bool {
        if self.service(unit).is_none_or(|s| stage.of(&s.commands).is_empty()) {
            return false;
        }
        self.run_mut(unit).next = 0;
        match stage {
            Stage::Stop | Stage::StopPost => self.enter_stop(unit, stage.state()),
            _ => {
                self.enter(unit, stage.state());
                self.arm_start(unit, self.run(unit).began);
            }
        }
        self.next_command(unit, stage)
    }

    /// Starts the next command of a stage; says whether there was one.
    pub(super) fn next_command(&mut self, unit: UnitId, stage: Stage) -> bool {
        let count = self.service(unit).map_or(0, |s| stage.of(&s.commands).len());
        let next = self.run(unit).next;
        if next >= count {
            return false;
        }
        self.run_mut(unit).next += 1;
        self.actions.push(Action::Spawn { unit, role: Role::Control(stage, next) });
        true
    }

    pub(super) fn proceed(&mut self, unit: UnitId, mode: KillMode) {
        let sub = self.run(unit).sub;
        let Some(stage) = Stage::in_state(sub) else { return };
        if self.next_command(unit, stage) {
            return;
        }
        match stage {
            Stage::Condition if self.begin_stage(unit, Stage::Pre) => {}
            Stage::Condition | Stage::Pre => self.start_main(unit),
            Stage::Post => self.posted(unit, mode),
            Stage::Reload => self.back_to_running(unit),
            Stage::Stop => self.terminate(unit, mode),
            Stage::StopPost => self.clear(unit, mode),
            Stage::Clean => self.cleaned(unit),
        }
    }

    /// Whether what a unit has left may be removed: nothing of it runs, failed or is about to start.
    pub fn may_be_cleaned(&self, unit: UnitId) -> bool {
        self.run(unit).sub == Sub::Dead && self.jobs.of(unit).is_none()
    }

    /// A process removes what a unit has left in its folders.
    pub fn cleaning(&mut self, unit: UnitId, pid: u32) {
        self.processes.insert(pid, (unit, Role::Control(Stage::Clean, 0)));
        self.run_mut(unit).control = pid;
        self.enter(unit, Sub::Cleaning);
        self.settle_work();
    }

    /// It has, or somebody stops the unit before.
    pub(super) fn cleaned(&mut self, unit: UnitId) {
        self.kill_control(unit);
        self.enter(unit, Sub::Dead);
    }

    fn start_main(&mut self, unit: UnitId) {
        let began = self.run(unit).began;
        self.run_mut(unit).next = 1;
        self.enter(unit, Sub::Start);
        self.arm_start(unit, began);
        // A oneshot may have nothing but what stops it.
        let none = self.service(unit).is_some_and(|s| s.host.is_some() && s.commands.start.is_empty());
        match none {
            true => self.work.push_back(Work::Happen(unit, Event::MainDone)),
            false => self.actions.push(Action::Spawn { unit, role: Role::Main }),
        }
    }

    /// A main process ended well.
    pub(super) fn ended(&mut self, unit: UnitId, mode: KillMode) {
        let Some(service) = self.service(unit) else { return };
        let (commands, remains) = (service.commands.start.len(), service.supervision.remain_after_exit);
        let (sub, next) = (self.run(unit).sub, self.run(unit).next);
        if sub == Sub::Start && next < commands {
            self.run_mut(unit).next += 1;
            return self.actions.push(Action::Spawn { unit, role: Role::Main });
        }
        if sub == Sub::Start && self.begin_stage(unit, Stage::Post) {
            return;
        }
        match remains {
            true => self.up(unit, Sub::Exited),
            false => self.leave(unit, mode),
        }
    }

    /// The commands behind the main one are through.
    fn posted(&mut self, unit: UnitId, mode: KillMode) {
        let Some(service) = self.service(unit) else { return };
        let forked = service.service_type == ServiceType::Forking;
        let remains = service.supervision.remain_after_exit;
        match self.run(unit).main == 0 && !forked {
            true if remains => self.up(unit, Sub::Exited),
            true => self.leave(unit, mode),
            false => self.up(unit, Sub::Running),
        }
    }

    /// It ran and ended: its stop command, then what is left.
    pub(super) fn leave(&mut self, unit: UnitId, mode: KillMode) {
        if !self.begin_stage(unit, Stage::Stop) {
            self.clear(unit, mode);
        }
    }
}
