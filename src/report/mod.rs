//! Reports: what a run's journal holds, in the forms that people and programs read.
//!
//! In: a journal. Out: text, CSV, JSON, an HDR interval log; the files of the run folder. Nothing here measures anything.

mod csv_files;
mod hlog;
pub mod html;
mod model;
mod recovery;
mod run_json;
mod table;
mod text;
mod verdict;
mod write;

pub use csv_files::{closes_csv, outcomes_csv, summary_csv, timeseries_csv};
pub use hlog::histograms_hlog;
pub use html::report_html;
pub use model::RunModel;
pub use recovery::{RecoveryCurve, RecoveryStep};
pub use run_json::run_json;
pub(crate) use table::aligned;
pub use text::{Style, summary_text};
pub use verdict::{Status, Verdict};
pub use write::{JOURNAL_FILE, WriteFault, write_all, write_file};
