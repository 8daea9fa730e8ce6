//! `report.html`: a run as one page that a browser shows without any network, and the kit that pages are made of.
//!
//! In: a run. Out: HTML. A page is a [`Page`] of [`Section`]s of [`Block`]s; [`render_page`] makes the file. Another page, as of a comparison, is
//! built the same way:
//!
//! ```
//! use resurge::record::Latencies;
//! use resurge::report::html::{Block, Page, Plot, Section, Table, render_page};
//!
//! let mut latencies = Latencies::new();
//! latencies.record_us(1_240);
//! let mut section = Section::new("latency", "Reconnect latency", "From the disconnect to the next ready session");
//! section.plots_or(vec![Plot::percentiles("percentiles", "By percentile", &[("v1", &latencies)])], "No reconnects.");
//! let mut table = Table::new("", &["<run", "p50"]);
//! table.row(vec!["v1".into(), "1.24 ms".into()]);
//! section.push(Block::Table(table));
//! let page = Page { title: "t".into(), subtitle: String::new(), sections: vec![section], footer: String::new() };
//! assert!(render_page(&page).unwrap().contains("1.24 ms"));
//! ```
//!
//! Two lines of one plot have colours by their index; give the same thing the same index everywhere. Ids are anchors, and must be unique in a page.

mod buckets;
mod live_page;
mod marks;
mod messages;
mod page;
mod plot;
mod plotted;
mod render;
mod run_arrivals;
mod run_blind;
mod run_observed;
mod run_outages;
mod run_page;
mod run_tables;
mod run_talk;
mod run_time;
mod table;
mod tone;

pub use live_page::LivePage;
pub use page::{BarPart, BarRow, Bars, Block, Figure, Page, Section};
pub use plot::{Axis, Choices, Line, Mark, Plot, PlotKind, Series, Unit};
pub use render::{RenderError, live_policy, render_page};
pub use run_page::{report_html, run_page};
pub use table::{Column, Row, Table};
pub use tone::Tone;
