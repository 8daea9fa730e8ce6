//! What compression and resumption saved, as cells.
//!
//! In: the groups of a run. Out: tables, where there is something to tell. Nothing is escaped here.

use crate::record::{Latencies, Tally};
use crate::sample::{Counter, Metric};
use crate::units::{format_count, format_share, format_us};

use super::tables::{GroupTotals, Table};

/// What permessage-deflate saved; `None` where no session agreed on it.
pub(super) fn compression(groups: &[GroupTotals<'_>]) -> Option<Table> {
    let has = |group: &&GroupTotals<'_>| group.tally.counter(Counter::CompressedSessions) > 0;
    let mut rows = vec![
        [
            "group",
            "sessions",
            "received B",
            "as payload B",
            "ratio",
            "sent B",
            "as payload B",
            "ratio",
            "wire B/client",
        ]
        .map(str::to_owned)
        .to_vec(),
    ];
    rows.extend(groups.iter().filter(has).map(|group| {
        let count = |counter| group.tally.counter(counter);
        let (plain_in, wire_in) = (count(Counter::PlainBytesIn), count(Counter::PayloadBytesIn));
        let (plain_out, wire_out) = (count(Counter::PlainBytesOut), count(Counter::PayloadBytesOut));
        let all = count(Counter::BytesIn).saturating_add(count(Counter::BytesOut));
        vec![
            group.name.to_owned(),
            format_count(count(Counter::CompressedSessions)),
            format_count(plain_in),
            format_count(wire_in),
            ratio(plain_in, wire_in),
            format_count(plain_out),
            format_count(wire_out),
            ratio(plain_out, wire_out),
            format_count(all / u64::from(group.clients.max(1))),
        ]
    }));
    let note = "permessage-deflate: bytes of messages, of the payloads that carried them, and of all that TCP or TLS carried";
    (rows.len() > 1).then_some(Table { title: "Compression", note, rows })
}

/// How many bytes of messages a byte of payload carried.
fn ratio(plain: u64, wire: u64) -> String {
    if wire == 0 { "-".to_owned() } else { format!("{:.2}", plain as f64 / wire as f64) }
}

/// How many TLS handshakes were resumed, and what each kind took; `None` where no client may resume.
pub(super) fn resumption(groups: &[GroupTotals<'_>]) -> Option<Table> {
    let mut rows = vec![
        ["group", "full", "resumed", "share resumed", "full p50", "full p99", "resumed p50", "resumed p99"]
            .map(str::to_owned)
            .to_vec(),
    ];
    rows.extend(groups.iter().filter_map(|group| {
        let (full, resumed) =
            (handshakes(group.tally, Metric::TlsFull), handshakes(group.tally, Metric::TlsResumed));
        let count = |of: Option<&Latencies>| of.map_or(0, Latencies::count);
        let (all, share) = (count(full) + count(resumed), count(resumed));
        let mut row = vec![
            group.name.to_owned(),
            format_count(count(full)),
            format_count(share),
            if all > 0 { format_share(share as f64 / all as f64) } else { "-".to_owned() },
        ];
        row.extend([full, resumed].into_iter().flat_map(|of| {
            [50.0, 99.0].map(|p| of.map_or_else(|| "-".to_owned(), |of| format_us(of.percentile_us(p))))
        }));
        (all > 0).then_some(row)
    }));
    let note = "of clients that keep their tickets";
    (rows.len() > 1).then_some(Table { title: "TLS handshakes", note, rows })
}

fn handshakes(tally: &Tally, metric: Metric) -> Option<&Latencies> {
    tally.histograms.get(&metric).filter(|histogram| histogram.count() > 0)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::sample::{Sample, Traffic};

    #[test]
    fn what_was_saved_is_told_and_nothing_where_nothing_was_asked_for() {
        let mut tally = Tally::default();
        let none = Tally::default();
        let unsaid = [GroupTotals { index: 0, name: "g", clients: 2, tally: &none, departs: false }];
        assert!(compression(&unsaid).is_none() && resumption(&unsaid).is_none());
        tally.apply(&Sample::Count(Counter::CompressedSessions, 3));
        let deflated = crate::deflate::Volume { plain_in: 1_000, wire_in: 250, plain_out: 0, wire_out: 0 };
        let traffic = Traffic { bytes_in: 400, bytes_out: 100, deflated, ..Traffic::default() };
        tally.apply(&Sample::Traffic(Box::new(traffic)));
        let took = Duration::from_millis(2);
        for is_resumed in [false, true, true, true] {
            tally.apply(&Sample::Tls { is_resumed, took });
        }
        let group = [GroupTotals { index: 0, name: "g", clients: 2, tally: &tally, departs: false }];
        let table = compression(&group).unwrap();
        assert_eq!(table.rows[1], ["g", "3", "1,000", "250", "4.00", "0", "0", "-", "250"]);
        let table = resumption(&group).unwrap();
        assert_eq!(table.rows[1][..4], ["g", "1", "3", "75.0%"]);
    }
}
