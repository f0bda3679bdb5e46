//! `GET /api/v1/code/status`: the state of this instance. Starts nothing and counts as no use.

use http::Response;
use serde::Serialize;

use super::super::answer::json;
use super::super::app::Context;
use super::super::disks;
use crate::model::{InstanceId, InstanceState, Usage};
use crate::proxy::Body;

#[derive(Serialize)]
struct Answer<'a> {
    instance: &'a InstanceId,
    #[serde(flatten)]
    state: InstanceState,
    generation: u64,
    /// Its position in the line while its start waits for its turn; 1 is next.
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<usize>,
    /// Whether its processes stand still until somebody uses it.
    frozen: bool,
    /// Requests and websockets that use it at this moment.
    clients: usize,
    /// How long nobody has used it, in seconds; null while somebody does.
    idle_seconds: Option<u64>,
    /// What it uses; null when it does not run, or when nobody can tell.
    usage: Option<Usage>,
    /// What its files take on the disk, as it was counted last; null when it was not yet.
    disk: Option<disks::Shown>,
}

pub(super) async fn answer(context: &Context) -> Response<Body> {
    let turn = context.app.asks.take(&context.instance).await;
    let (instances, id) = (context.app.instances.clone(), context.instance.clone());
    // To its end, also when nobody waits for it any more: a client that asks and goes away makes no room for another question.
    let asking = tokio::spawn(async move {
        let _turn = turn;
        instances.usage(&id).await
    });
    let usage = asking.await.ok().flatten();
    let (status, clients, idle) = context.app.instances.status(&context.instance);
    json(&Answer {
        instance: &context.instance,
        state: status.state.for_client(),
        generation: status.generation,
        position: status.position,
        frozen: status.frozen,
        clients,
        idle_seconds: idle.map(|idle| idle.as_secs()),
        usage,
        disk: disks::shown(&context.app, &context.instance),
    })
}
