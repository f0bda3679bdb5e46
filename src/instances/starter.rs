//! One start and the run that follows, in a task of its own: a closed tab cancels nothing.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;

use super::machine::{Action, Event};
use super::registry::{Instance, Shared};
use crate::launch::{Connector, Exit, Launched};
use crate::model::{EndCause, FailureCause, InstanceState, Stage};
use crate::telemetry::metrics;

/// The time between two tries to connect to an engine that is starting.
const POLL: Duration = Duration::from_millis(5);

/// Starts `instance`, stays with it until it has ended, and again if somebody asked for it while it was being stopped.
pub(super) async fn run(shared: Arc<Shared>, instance: Arc<Instance>, mut generation: u64) {
    loop {
        let again = run_once(&shared, &instance, generation).await;
        match again {
            Some(Action::Start { generation: next }) => {
                // It was promised to somebody: not the moment to ask for room.
                shared.active.fetch_add(1, Ordering::SeqCst);
                generation = next;
            }
            Some(Action::Stop) | None => break,
        }
    }
}

/// Gives its place among the running ones back, then tells: whoever hears of the end finds the place free.
fn end(shared: &Shared, instance: &Instance, event: Event, log: Vec<String>) -> Option<Action> {
    shared.active.fetch_sub(1, Ordering::SeqCst);
    instance.tell_with(event, None, log)
}

async fn run_once(shared: &Shared, instance: &Instance, generation: u64) -> Option<Action> {
    let began = Instant::now();
    let launched = match start(shared, instance).await {
        Ok(launched) => launched,
        Err((cause, log)) => {
            tracing::warn!(instance = %instance.id, generation, "instance {cause}");
            metrics().start_failed(&cause.kind());
            return end(shared, instance, Event::StartFailed(cause), log);
        }
    };
    instance.tell_with(Event::Ready, Some(Arc::clone(&launched.connector)), Vec::new());
    let elapsed_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    tracing::info!(instance = %instance.id, generation, elapsed_ms, "instance running");
    metrics().started(began.elapsed());
    run_out(shared, instance, launched, generation).await
}

/// Stays with an instance that an earlier daemon has started, and goes on as with any other.
pub(super) async fn take_over(shared: Arc<Shared>, instance: Arc<Instance>, launched: Launched) {
    tracing::info!(instance = %instance.id, "instance taken over");
    if let Some(Action::Start { generation }) = run_out(&shared, &instance, launched, 1).await {
        shared.active.fetch_add(1, Ordering::SeqCst);
        run(shared, instance, generation).await;
    }
}

async fn run_out(shared: &Shared, instance: &Instance, mut launched: Launched, generation: u64) -> Option<Action> {
    let Exit { cause, log } = (&mut launched.exit).await;
    let wanted = instance.status().state == InstanceState::Stopping;
    metrics().ended(&if wanted { "stopped".to_owned() } else { FailureCause::from(cause.clone()).kind() });
    tracing::info!(instance = %instance.id, generation, "instance {}", FailureCause::from(cause.clone()));
    end(shared, instance, Event::Exited(cause), log)
}

/// From queued to answering. On failure nothing of the instance runs.
async fn start(shared: &Shared, instance: &Instance) -> Result<Launched, (FailureCause, Vec<String>)> {
    let launch_failed = |message: String| (FailureCause::Launch { message }, Vec::new());
    let permit = shared.starting.acquire().await.map_err(|e| launch_failed(e.to_string()))?;
    instance.tell(Event::Reached(Stage::Launching));
    let mut launched = shared.launcher.launch(&instance.id).await.map_err(|e| launch_failed(e.to_string()))?;
    instance.tell(Event::Reached(Stage::Connecting));
    // A stop that was wanted before there was anything to stop.
    shared.stop_if_stopping(instance).await;
    let limit = shared.settings.read().unwrap_or_else(PoisonError::into_inner).start_timeout;
    let answer = tokio::time::timeout(limit, answers(&launched.connector, &mut launched.exit)).await;
    drop(permit);
    match answer {
        Ok(Ok(())) => Ok(launched),
        Ok(Err(Exit { cause: EndCause::Crashed { status }, log })) => Err((FailureCause::DiedEarly { status }, log)),
        Ok(Err(exit)) => Err((exit.cause.into(), exit.log)),
        Err(_) => {
            if let Err(e) = shared.launcher.stop(&instance.id).await {
                tracing::error!(instance = %instance.id, "{e}");
            }
            let exit = launched.exit.await;
            Err((FailureCause::Timeout { seconds: limit.as_secs() }, exit.log))
        }
    }
}

/// Waits until the engine takes connections, or has ended.
async fn answers(connector: &Arc<dyn Connector>, exit: &mut BoxFuture<'static, Exit>) -> Result<(), Exit> {
    let connecting = async {
        while connector.engine().await.is_err() {
            tokio::time::sleep(POLL).await;
        }
    };
    tokio::select! {
        () = connecting => Ok(()),
        exit = exit => Err(exit),
    }
}
