//! `/metrics`, `/livez`, `/readyz`.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::daemon::board::Board;
use crate::daemon::clock::Clock;
use crate::daemon::gauges::{TrainerTotals, exposition};
use crate::daemon::stop::Stop;
use crate::daemon::{readiness, watchdog};
use crate::telemetry::Metrics;
use crate::telemetry::metrics::CONTENT_TYPE;

/// What the answers are made from.
#[derive(Debug)]
pub(crate) struct Sources {
    pub board: Arc<Board>,
    pub metrics: Arc<Metrics>,
    pub totals: TrainerTotals,
    pub clock: Clock,
}

/// Serves until the stop. Connections that are open then are dropped: their answers take milliseconds.
pub(crate) async fn serve(
    listener: tokio::net::TcpListener,
    sources: Arc<Sources>,
    stop: Stop,
) -> std::io::Result<()> {
    let serving = async { axum::serve(listener, router(sources)).await };
    tokio::select! {
        result = serving => result,
        () = stop.requested() => Ok(()),
    }
}

fn router(sources: Arc<Sources>) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .with_state(sources)
}

async fn metrics(State(sources): State<Arc<Sources>>) -> Response {
    let now = sources.clock.elapsed();
    let text = exposition(&sources.board, &sources.metrics, &sources.totals, now);
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response()
}

/// 200 while every running worker gives signs of life.
async fn livez(State(sources): State<Arc<Sources>>) -> Response {
    let stalls = watchdog::stalls(&sources.board, sources.clock.elapsed());
    if stalls.is_empty() {
        return (StatusCode::OK, "alive\n").into_response();
    }
    let text: String = stalls
        .iter()
        .map(|stall| format!("{} for {:.0} s\n", stall.what, stall.silence.as_secs_f64()))
        .collect();
    (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
}

/// 200 with a summary, or 503 with every reason.
async fn readyz(State(sources): State<Arc<Sources>>) -> Response {
    let readiness = readiness::look(&sources.board, sources.clock.elapsed());
    let status = if readiness.ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let mut text = serde_json::to_string(&readiness).expect("strings and numbers have a JSON form");
    text.push('\n');
    (status, [(header::CONTENT_TYPE, "application/json")], text).into_response()
}
