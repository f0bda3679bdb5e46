//! What the programs say to each other: the front to the broker, the front to the agent inside an instance. One packet is one
//! message in JSON; a descriptor may come with an answer. Versions are not mixed: all programs come from one package, and the
//! broker is restarted with the front. Only an agent may be older than the front that talks to it, so its messages only grow.

mod agent;
mod broker;
pub mod place;
pub mod unit;

pub use agent::{AgentAnswer, AgentRequest, LOG_LINES, MAX_AGENT_PACKET};
pub use broker::{
    BrokerAnswer, BrokerReply, BrokerRequest, KILLED, MAX_REPLY, MAX_REQUEST, RefusalCode, RunState, STOPPED_BY_OPERATOR, UnitStatus,
};
