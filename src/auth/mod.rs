//! Who may come in. Knows no HTTP types: text and enums in, verdicts out.
//!
//! [`Auth`] is the way in: passwords ([`hash_password`] makes what a configuration holds), sessions, and the throttle that keeps
//! strangers from trying all passwords there are. [`check_origin`] and [`HostPolicy`] judge where a request comes from.

mod ended;
mod error;
mod keys;
mod login;
mod origin;
mod page_pass;
mod password;
mod sessions;
mod throttle;
mod token;
mod transfer;
mod verifiers;

pub use error::AuthError;
pub use login::{Attempt, Auth, MadePassword, Outcome, Prepared};
pub use origin::{FetchMode, FetchSite, HostPolicy, OriginVerdict, Provenance, check_origin, is_sibling};
pub use page_pass::PagePasses;
pub use password::hash_password;
pub use sessions::{Session, Token};
pub use throttle::Client;
pub use token::Audience;
