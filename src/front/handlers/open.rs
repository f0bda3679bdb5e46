//! What a request wants to open: parameters checked against the instance's own files, the last opened put in, and remembered.

use std::sync::Arc;

use http::Method;

use super::super::answer::{ApiError, ErrorCode};
use super::super::app::{Context, Realm};
use super::super::query::Parameters;
use crate::instances::LastOpened;
use crate::launch::PathKind;
use crate::model::AbsolutePath;

/// What is to be done with a request for the editor.
pub(super) enum Opening {
    /// Show the editor with these parameters.
    Here(Parameters),
    /// The browser's URL has to say something else first, because the workbench reads it there.
    At(Parameters),
}

/// Decides what `query` opens, and remembers it unless the client only asks for headers.
pub(super) async fn decide(context: &Context, query: &str, method: &Method) -> Result<Opening, ApiError> {
    let parameters = Parameters::parse(query)?;
    check(context, &parameters).await?;
    if parameters.redundant {
        return Ok(Opening::At(parameters));
    }
    let (store, id, life) = (context.app.store.clone(), context.instance.clone(), context.life);
    if parameters.decide() {
        if method != Method::HEAD {
            let opened = parameters.to_remember();
            let stored = aside(context, move || store.set_last_opened(&id, life, &opened)).await?;
            // A full disk must not keep the editor from opening.
            if let Err(e) = stored {
                tracing::error!(instance = %context.instance, "{e}");
            }
        }
        return Ok(Opening::Here(parameters));
    }
    let last: LastOpened = aside(context, move || store.last_opened(&id)).await?;
    let Some(reopened) = parameters.clone().reopen(&last) else { return Ok(Opening::Here(parameters)) };
    // What was opened last may be gone by now: then an empty window, not an error page nobody asked for.
    match check(context, &reopened).await {
        Ok(()) => Ok(Opening::At(reopened)),
        Err(_) => Ok(Opening::Here(parameters)),
    }
}

async fn check(context: &Context, parameters: &Parameters) -> Result<(), ApiError> {
    if let Some(path) = &parameters.workspace
        && !matches!(look(context, path).await?, PathKind::File | PathKind::Unknown)
    {
        return Err(ApiError::new(ErrorCode::WorkspaceNotFound, "there is no such workspace file"));
    }
    if let Some(path) = &parameters.folder
        && !matches!(look(context, path).await?, PathKind::Directory | PathKind::Unknown)
    {
        return Err(ApiError::new(ErrorCode::FolderNotFound, "there is no such folder"));
    }
    Ok(())
}

async fn look(context: &Context, path: &AbsolutePath) -> Result<PathKind, ApiError> {
    // An agent that does not answer, or a disk that hangs, has only so many who wait for it.
    let _turn = context.app.asides.take(&context.instance).await;
    context.app.instances.look(&context.instance, path).await.map_err(ApiError::internal)
}

/// Runs what blocks on the disk aside, for somebody's request: few at a time of one instance, counted until they are done. Operators do not
/// wait for anybody.
pub(in super::super) async fn aside<T: Send + 'static>(
    context: &Context,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ApiError> {
    let held = match context.realm {
        Realm::Instance => {
            let turn = context.app.asides.take(&context.instance).await;
            let place = Arc::clone(&context.app.all_asides).acquire_owned().await.map_err(ApiError::internal)?;
            Some((turn, place))
        }
        Realm::Operator => None,
    };
    blocking(move || {
        let _held = held;
        work()
    })
    .await
}

/// Runs what blocks on the disk aside. Whoever calls sees to it that there is not too much of it.
pub(in super::super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, ApiError> {
    tokio::task::spawn_blocking(work).await.map_err(ApiError::internal)
}
