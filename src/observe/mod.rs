//! A service's own numbers: pages of metrics and answers of a Prometheus server become values.
//!
//! In: bytes, as they come. Out: the values of the series that are wanted, or why there are none. No I/O, no clock; memory is bounded whatever comes.

mod answer;
mod line;
mod page;
mod readings;

pub use answer::{instant, range, refusal};
pub use line::{Line, parse_line};
pub use page::{Found, PageReader, Selector};
pub use readings::Readings;
