//! The table of the requests before handshakes that were not answered as they should be.
//!
//! In: a run, its groups in some order. Out: a table as cells, and sentences about refresh tokens.

use crate::sample::{Request, RequestAnswer};
use crate::units::{format_count, format_us};

use super::model::RunModel;
use super::requests::{kinds, made, named, nonce_words, not_ok, refresh_words, scope_words, step_name};
use super::tables::{GroupTotals, Table};

/// What came of the requests of which some were not answered as they should be. `None` where there are no such.
pub(super) fn requests(model: &RunModel, groups: &[GroupTotals<'_>]) -> Option<Table> {
    let header =
        ["group", "request", "made", "ok", "refused", "failed", "ok p50", "refused p50", "answers not ok"];
    let mut table = vec![header.map(str::to_owned).to_vec()];
    for group in groups {
        let steps = model.manifest.steps_of(group.index);
        table.extend(kinds(group.tally).into_iter().filter_map(|kind| request_row(group, steps, kind)));
    }
    let note = "where some were not answered as they should be; tokens.csv and steps.csv have all";
    (table.len() > 1).then_some(Table { title: "Requests before handshakes", note, rows: table })
}

fn request_row(group: &GroupTotals<'_>, steps: &[String], kind: Request) -> Option<Vec<String>> {
    let bad = not_ok(group.tally, |request| request == kind);
    if bad.is_empty() {
        return None;
    }
    let made = made(group.tally, kind);
    let with = |answer| group.tally.requests.get(&(kind, answer));
    let count = |answer| with(answer).map_or(0, |of_answer| of_answer.count());
    let p50 = |answer| {
        with(answer).map_or_else(|| "-".to_owned(), |of| format_us(of.latencies.percentile_us(50.0)))
    };
    let (ok, refused) = (count(RequestAnswer::Ok), count(RequestAnswer::Refused));
    let name = match (kind.token_name(), kind.step()) {
        (Some(name), _) => format!("token: {name}"),
        (None, step) => format!("step: {}", step_name(steps, step.unwrap_or_default())),
    };
    Some(vec![
        group.name.to_owned(),
        name,
        format_count(made),
        format_count(ok),
        format_count(refused),
        format_count(made - ok - refused),
        p50(RequestAnswer::Ok),
        p50(RequestAnswer::Refused),
        named(&bad, |row| format!("{} × {}", row.said(), format_count(row.count))),
    ])
}

/// That requests were not answered as they should be, a sentence for each group and kind.
pub(super) fn failed_words(model: &RunModel, groups: &[GroupTotals<'_>]) -> Vec<String> {
    let table = requests(model, groups);
    let rows = table.iter().flat_map(|table| table.rows.iter().skip(1));
    let told = rows.filter_map(|row| match row.as_slice() {
        [group, request, made, ok, .., said] => {
            Some(format!("{group}: {request}: {ok} of {made} ok ({said})"))
        }
        _ => None,
    });
    told.collect()
}

/// What became of refused refresh tokens, and that scopes were withheld, a sentence for each group in which some were, and what the target made of those that were shown again.
pub(super) fn refresh_lines(model: &RunModel, groups: &[GroupTotals<'_>]) -> Vec<String> {
    let of_group = |group: &GroupTotals<'_>| Some(format!("{}: {}", group.name, refresh_words(group.tally)?));
    let mut lines: Vec<String> = groups.iter().filter_map(of_group).collect();
    let scopes = |group: &GroupTotals<'_>| Some(format!("{}: {}", group.name, scope_words(group.tally)?));
    lines.extend(groups.iter().filter_map(scopes));
    let nonces = |group: &GroupTotals<'_>| Some(format!("{}: {}", group.name, nonce_words(group.tally)?));
    lines.extend(groups.iter().filter_map(nonces));
    let counters = model.end.as_ref().and_then(|end| end.target_counters.as_ref());
    lines.extend(
        counters.and_then(|counters| {
            family_words(counters.refresh_tokens_reused, counters.refresh_families_ended)
        }),
    );
    lines
}

/// What the target made of refresh tokens that were shown again. `None` where none was.
fn family_words(reused: u64, ended: u64) -> Option<String> {
    let times =
        |count: u64| if count == 1 { "once".to_owned() } else { format!("{} times", format_count(count)) };
    (reused > 0).then(|| {
        let shown = format!("a used refresh token was shown again {}", times(reused));
        if ended == 0 {
            shown
        } else {
            format!("{shown}: the target ended the family of tokens {}", times(ended))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ended_families_are_told() {
        assert_eq!(family_words(0, 0), None);
        assert_eq!(family_words(1, 0).as_deref(), Some("a used refresh token was shown again once"));
        assert_eq!(
            family_words(57, 3).as_deref(),
            Some(
                "a used refresh token was shown again 57 times: the target ended the family of tokens 3 times"
            )
        );
    }
}
