//! What becomes of a run's numbers: the run folder, the forms of a report, pages, comparisons, metrics.
#![expect(clippy::unwrap_used, reason = "a test that meets what it does not expect has failed")]

#[path = "../support"]
mod support {
    pub(crate) mod output;
    pub(crate) mod program;
    pub(crate) mod run_folder;
    pub(crate) mod tables;
}

mod columns;
mod compare;
mod compare_open;
mod compare_outages;
mod exposition;
mod folder;
mod forms;
mod html;
mod old;
mod synthetic;
mod talk;
