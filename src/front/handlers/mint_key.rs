//! `POST …/mint-key`: the server's half of the key that seals the secrets in a browser.

use http::{HeaderMap, Response};

use super::super::answer::{ApiError, plain};
use super::super::app::Context;
use super::super::page_pass;
use super::open::aside;
use crate::proxy::Body;

pub(super) async fn answer(context: &Context, headers: &HeaderMap) -> Result<Response<Body>, ApiError> {
    page_pass::check(context, headers).await?;
    let (store, id, life) = (context.app.store.clone(), context.instance.clone(), context.life);
    let key = aside(context, move || store.mint_key(&id, life)).await??;
    Ok(plain("application/octet-stream", key.to_vec()))
}
