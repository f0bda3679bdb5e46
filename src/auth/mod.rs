//! Who may come in. Knows no HTTP types: text and enums in, verdicts out.

mod origin;

pub use origin::{FetchMode, FetchSite, HostPolicy, OriginVerdict, check_origin, is_sibling};
