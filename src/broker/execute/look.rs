//! What is there, and how it does: nothing changes here.

use super::Executor;
use crate::broker::accounts::Account;
use crate::broker::cgroup;
use crate::broker::error::BrokerError;
use crate::broker::policy::Asker;
use crate::broker::systemd::UnitState;
use crate::model::InstanceId;
use crate::proto::{KILLED, RunState, STOPPED_BY_OPERATOR, UnitStatus};

/// The most instances in one answer to `list`: they fit into a packet.
const PAGE: usize = 100;

impl Executor {
    pub(super) async fn show(&self, id: &InstanceId) -> Result<UnitStatus, BrokerError> {
        let account = self.accounts.find(id)?.ok_or_else(|| BrokerError::NotFound(id.clone()))?;
        let state = self.systemd.state(&cgroup::unit(id)).await?;
        Ok(self.status(id.clone(), account, state))
    }

    pub(super) async fn list(&self, asker: &Asker, after: Option<&InstanceId>) -> Result<Vec<UnitStatus>, BrokerError> {
        let services = self.services().ok();
        let wanted = |id: &InstanceId| after.is_none_or(|after| id > after) && asker.may(&self.owner_by(services.as_ref(), id));
        let ids = self.accounts.list()?.into_iter().filter(wanted).take(PAGE);
        let loaded = self.systemd.list("hoody-code-instance@*.service").await?;
        let mut all = Vec::new();
        for id in ids {
            let Some(account) = self.accounts.find(&id)? else { continue };
            let unit = cgroup::unit(&id);
            // A unit that is not loaded does not run: no need to ask for each of a thousand.
            let state = if loaded.contains(&unit) { self.systemd.state(&unit).await? } else { None };
            all.push(self.status(id, account, state));
        }
        Ok(all)
    }

    fn status(&self, id: InstanceId, account: Account, state: Option<UnitState>) -> UnitStatus {
        let run = self.records.run(&id);
        let state = state.unwrap_or_default();
        let run_state = match state.active.as_str() {
            "active" => RunState::Active,
            "failed" => RunState::Failed,
            "" | "inactive" => RunState::Inactive,
            _ => RunState::Changing,
        };
        // After a reboot nothing is known of earlier runs, and nothing held.
        let by_operator = run_state == RunState::Inactive && run.engine.is_some() && !run.stopped;
        UnitStatus {
            id,
            state: run_state,
            result: if by_operator { STOPPED_BY_OPERATOR.to_owned() } else { result_of(&state) },
            uid: account.uid,
            engine: run.engine,
            class: run.class,
            since: if run_state == RunState::Active { state.active_since } else { 0 },
            frozen: state.freezer.starts_with("fr"),
        }
    }
}

/// The signal that no process can answer.
const SIGKILL: i32 = 9;

/// How a unit ended. systemd says `timeout` for the run-time limit and for a stop that took too long.
fn result_of(state: &UnitState) -> String {
    match state.result.as_str() {
        "" => "success".to_owned(),
        "timeout" if state.ran > 0 && state.ran >= state.run_time => "time-limit".to_owned(),
        // Nobody of us sends this one first, and whoever gets it has no time for a word: systemd-oomd, or the kernel.
        "signal" if state.signal == SIGKILL => KILLED.to_owned(),
        other => other.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_units_end() {
        let ended = |result: &str, signal| result_of(&UnitState { result: result.to_owned(), signal, ..UnitState::default() });
        assert_eq!(ended("signal", 9), KILLED);
        assert_eq!(ended("signal", 11), "signal");
        assert_eq!(ended("oom-kill", 9), "oom-kill");
        assert_eq!(ended("", 0), "success");
        let ran =
            |ran| result_of(&UnitState { result: "timeout".to_owned(), ran, run_time: 10_000_000, signal: 9, ..UnitState::default() });
        assert_eq!((ran(10_000_000).as_str(), ran(9_000_000).as_str(), ran(0).as_str()), ("time-limit", "timeout", "timeout"));
    }
}
