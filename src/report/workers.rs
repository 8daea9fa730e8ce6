//! What is said of the workers of a run over many machines.
//!
//! In: a run. Out: how well they knew the time, how far their first starts were off, and who of them took no part.

use crate::units::format_us;

use super::model::RunModel;

/// How many of those that took no part are named.
const MOST_NAMED: usize = 20;

/// A sentence each; none for a run of one machine.
pub(super) fn worker_lines(model: &RunModel) -> Vec<String> {
    common_start(model).into_iter().chain(absent(model)).collect()
}

/// How well the workers knew the time, and when they began.
fn common_start(model: &RunModel) -> Option<String> {
    let workers = &model.manifest.workers;
    let vaguest = workers.iter().max_by_key(|worker| worker.clock_uncertainty_us)?;
    let known = format!(
        "{} on workers: the coordinator's time was known to {} at worst (shard {})",
        if workers.len() == 1 { "1 shard".to_owned() } else { format!("{} shards", workers.len()) },
        format_us(vaguest.clock_uncertainty_us),
        vaguest.shard,
    );
    let starts = model.end.iter().flat_map(|end| &end.first_starts);
    let latest = starts.max_by_key(|start| start.began_us.saturating_sub(start.due_us));
    Some(match latest {
        Some(start) => {
            let late = format_us(start.began_us.saturating_sub(start.due_us));
            format!(
                "{known}; by their own clocks, the first clients began {late} late at worst (shard {})",
                start.shard
            )
        }
        None => known,
    })
}

/// Who took no part.
fn absent(model: &RunModel) -> Option<String> {
    let (absent, of) = (&model.manifest.absent, model.manifest.shards);
    if absent.is_empty() {
        return None;
    }
    let named: Vec<String> =
        absent.iter().take(MOST_NAMED).map(|absent| format!("{} ({})", absent.shard, absent.why)).collect();
    let more = match absent.len() - named.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Some(format!(
        "{} of {of} shards took no part, which --min-workers allowed, and no number here is of their clients: {}{more}",
        absent.len(),
        named.join(", ")
    ))
}
