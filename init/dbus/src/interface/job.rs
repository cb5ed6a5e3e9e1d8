//! org.freedesktop.systemd1.Job.

use ashlar_control::message::Method;
use ashlar_control::status::Job;
use zbus::Variant;

use super::{Call, Interface, emits, fixed, manages, object, text};
use crate::fault::Fault;
use crate::path::{self, Object};
use crate::wire::Body;
use crate::world::World;

pub static INTERFACE: Interface<Job> = Interface {
    name: "org.freedesktop.systemd1.Job",
    properties: &[&[
        fixed("Id", "u", |job| Variant::U32(job.id)),
        fixed("Unit", "(so)", |job| Variant::new((job.unit.clone(), object(path::unit(&job.unit))))),
        fixed("JobType", "s", |job| text(&job.kind)),
        emits("State", "s", |job| text(&job.state)),
    ]],
    methods: &[manages("Cancel", "", "", cancel)],
    signals: &[],
};

fn cancel(world: &mut World, call: &Call<'_>) -> Result<Body, Fault> {
    let Object::Job(id) = call.object else { return Err(Fault::invalid("this is no job")) };
    world.act(&Method::CancelJob { id }, &[])?;
    Ok(Body::empty())
}
