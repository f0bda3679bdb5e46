//! Who may come in. Knows no HTTP types: text and enums in, verdicts out.

mod origin;
mod page_pass;

pub use origin::{FetchMode, FetchSite, HostPolicy, OriginVerdict, check_origin, is_sibling};
pub use page_pass::PagePasses;
