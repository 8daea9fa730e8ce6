//! `histograms.hlog`: the HdrHistogram interval log (format 1.3), which any HDR tool opens.
//!
//! In: a run. Out: text: a line for each second, group and metric, tagged `group.metric`. Values in the histograms are microseconds; the column
//! `Interval_Max` is in milliseconds, as the format's tools show it.

use std::fmt::Write as _;

use base64::Engine as _;

use super::model::RunModel;

/// The interval log of a run.
#[must_use]
pub fn histograms_hlog(model: &RunModel) -> String {
    let start_s = model.manifest.started_unix_us as f64 / 1e6;
    let mut text = String::new();
    // Writing to a String does not fail.
    let _ = writeln!(text, "#[Logged with resurge {}]", model.manifest.tool_version);
    let _ = writeln!(text, "#[Histogram log format version 1.3]");
    let _ = writeln!(text, "#[StartTime: {start_s:.3} (seconds since epoch)]");
    // Without it, some readers take small timestamps for seconds since 1970.
    let _ = writeln!(text, "#[BaseTime: {start_s:.3} (seconds since epoch)]");
    let _ = writeln!(
        text,
        "#[Values are microseconds; Interval_Max is milliseconds; schema version {}]",
        model.manifest.schema_version
    );
    let _ = writeln!(
        text,
        "\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\""
    );
    let names: Vec<&str> = model.groups().map(|(name, _)| name).collect();
    for (second, groups) in model.unpacked_seconds() {
        for (name, tally) in names.iter().zip(&groups) {
            for (metric, histogram) in tally.histograms.iter().filter(|(metric, _)| metric.is_time()) {
                let encoded = base64::engine::general_purpose::STANDARD.encode(histogram.to_deflated_bytes());
                let max_ms = histogram.max_us() as f64 / 1e3;
                let _ =
                    writeln!(text, "Tag={name}.{metric},{:.3},1.000,{max_ms:.3},{encoded}", second as f64);
            }
        }
    }
    text
}
