//! org.freedesktop.systemd1.Job, and lists of jobs.

use ashlar_control::message::{Method, Reply};
use ashlar_control::status::Job;
use zbus::{OwnedObjectPath, Variant};

use super::{Call, Interface, emits, fixed, manages, object, reads, text};
use crate::actions::{asked, kind_of, mode_of};
use crate::fault::{self, Fault};
use crate::path::{self, Object};
use crate::wire::Body;
use crate::world::World;

/// Rows of [`row`].
pub const LISTED: &str = "a(usssoo)";
/// A job that was queued, and those that it brought along.
pub const QUEUED: &str = "uososa(uosos)";

pub static INTERFACE: Interface<Job> = Interface {
    name: "org.freedesktop.systemd1.Job",
    properties: &[&[
        fixed("Id", "u", |job| Variant::U32(job.id)),
        fixed("Unit", "(so)", |job| Variant::new((job.unit.clone(), object(path::unit(&job.unit))))),
        fixed("JobType", "s", |job| text(&job.kind)),
        emits("State", "s", |job| text(&job.state)),
        fixed("ActivationDetails", "a(ss)", |_| super::none_of("(ss)")),
    ]],
    methods: &[
        manages("Cancel", "", "", |world, call| {
            world.act(&Method::CancelJob { id: id(call)? }, &[])?;
            Ok(Body::empty())
        }),
        reads("GetAfter", "", LISTED, |world, call| around(world, id(call)?, "Before")),
        reads("GetBefore", "", LISTED, |world, call| around(world, id(call)?, "After")),
    ],
    signals: &[],
};

fn id(call: &Call<'_>) -> Result<u32, Fault> {
    match call.object {
        Object::Job(id) => Ok(id),
        _ => Err(Fault::invalid("this is no job")),
    }
}

/// A job that is there.
pub fn known(world: &World, id: u32) -> Result<&Job, Fault> {
    world.job(id).ok_or_else(|| Fault::new(fault::NO_SUCH_JOB, format!("Job {id} does not exist.")))
}

/// A job as lists have it.
pub fn row(job: &Job) -> (u32, String, String, String, OwnedObjectPath, OwnedObjectPath) {
    let paths = (object(path::job(job.id)), object(path::unit(&job.unit)));
    (job.id, job.unit.clone(), job.kind.clone(), job.state.clone(), paths.0, paths.1)
}

/// Jobs of the units that a job's unit has an edge of this kind to: it goes before them, or after them.
pub fn around(world: &mut World, id: u32, edge: &str) -> Result<Body, Fault> {
    let unit = known(world, id)?.unit.clone();
    let others = world.view(&unit).edges(edge);
    let rows: Vec<_> = world.jobs().filter(|job| others.contains(&job.unit)).map(row).collect();
    Ok(Body::of(&(rows,)))
}

/// Queues a job and answers with it, and with those that it brought along.
pub fn queued(world: &mut World, name: &str, kind: &str, mode: &str) -> Result<Body, Fault> {
    let (job, new) = match world.act_for_jobs(&asked(name, kind_of(kind)?, mode_of(mode)?)?)? {
        (Reply::Job { job, .. }, new) => (job, new),
        (other, _) => return Err(Fault::new(fault::FAILED, format!("PID 1 answers strangely: {other:?}"))),
    };
    let brought = new.iter().filter(|other| other.id != job.id).map(short);
    let (id, own, unit, of, kind) = short(&job);
    Ok(Body::of(&(id, own, unit, of, kind, brought.collect::<Vec<_>>())))
}

fn short(job: &Job) -> (u32, OwnedObjectPath, String, OwnedObjectPath, String) {
    (job.id, object(path::job(job.id)), job.unit.clone(), object(path::unit(&job.unit)), job.kind.clone())
}
