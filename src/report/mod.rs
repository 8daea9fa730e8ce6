//! Reports: what a run's journal holds, in the forms that people and programs read.
//!
//! In: a journal. Out: text, Markdown, CSV, JSON, JUnit XML, an HDR interval log; the files of the run folder. Nothing here measures anything.

mod aligned;
mod answer;
mod arrivals;
mod benchmark;
mod blind;
mod csv_files;
mod csv_observed;
mod csv_outages;
mod csv_requests;
mod csv_talk;
mod details;
mod empty;
mod ends_in_words;
mod exposition;
mod fitted;
mod github;
mod hlog;
pub mod html;
mod idle_storms;
mod junit;
mod lost;
mod markdown;
mod marks;
mod model;
mod named_after;
mod next;
mod observed;
mod observed_json;
mod outages;
mod parquet;
mod parquet_files;
mod recovery;
mod request_table;
mod requests;
mod run_json;
mod run_json_ends;
mod run_json_outages;
mod run_json_shards;
mod run_json_talk;
mod sheet;
mod simulated;
mod sparkline;
mod tables;
mod talk;
mod talk_tables;
mod text;
mod token_hints;
mod traces;
mod varint;
mod verdict;
mod wire_tables;
mod workers;
mod write;

pub(crate) use aligned::aligned;
pub use benchmark::{BenchmarkEntry, benchmark_entries};
pub use csv_files::{closes_csv, outcomes_csv, summary_csv, timeseries_csv};
pub use csv_observed::observed_csv;
pub use csv_outages::{availability_csv, outages_csv};
pub use csv_requests::{steps_csv, tokens_csv};
pub use csv_talk::{exchanges_csv, kinds_csv, streams_csv};
pub use exposition::{
    LiveRun, OPENMETRICS_TYPE, PROMETHEUS_TYPE, RunResource, Temporality, export_request, openmetrics_text,
    prometheus_text, rejected_by,
};
pub use github::{annotations, step_summary};
pub use hlog::histograms_hlog;
pub use html::report_html;
pub use junit::junit_xml;
pub(crate) use junit::{junit_non_success, junit_one_line};
pub(crate) use markdown::escape as escape_markdown;
pub use markdown::markdown;
pub use model::RunModel;
pub(crate) use next::quoted_for_shell;
pub use outages::outage_name;
pub use parquet_files::{attempts_parquet, timeseries_parquet};
pub use recovery::{RecoveryCurve, RecoveryStep};
pub use run_json::{RunJson, run_json, run_json_schema};
pub use sheet::Style;
pub use text::{Printed, printed_summary, summary_text};
pub use token_hints::token_hint;
pub use verdict::{Status, ValidityCheck, Verdict};
pub use write::{
    JOURNAL_FILE, PAGE_FILE, RUN_JSON_FILE, SHARDS_FOLDER, WriteFault, check_writable, is_stream, write_all,
    write_file, write_named,
};
