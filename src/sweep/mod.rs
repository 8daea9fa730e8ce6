//! A sweep: the same scenario with one or more keys changed, and which of the choices is the best.
//!
//! In: the keys with their values, what is to be lowest or highest, what must hold, and a run for each point. Out: the points in order, the best
//! first, as text, Markdown, CSV, JSON and a page. Nothing here runs anything.
//!
//! A point whose run is not valid has no place in the order, however good its numbers look; one that breaks a condition or a threshold stands below all that
//! hold.

mod forms;
mod grid;
mod measure;
mod measured;
mod page;
mod ranking;

pub use forms::{SWEEP_SCHEMA_VERSION, sweep_csv, sweep_json, sweep_markdown, sweep_text};
pub use grid::{Axis, Grid, GridError, MOST_POINTS, parse_axis};
pub use measure::{Condition, Goal, Measure, parse_condition, parse_goal};
pub use measured::Measured;
pub use page::sweep_html;
pub use ranking::{Point, Standing, Sweep};
