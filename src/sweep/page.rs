//! A sweep as a page.
//!
//! In: a ranked sweep. Out: one self-contained file: the best point, what became of the goal and of each condition from choice to choice, the table.

use crate::report::html::{
    Block, Choices, Mark, Page, Plot, RenderError, Section, Series, Table, Tone, render_page,
};

use super::measure::Measure;
use super::ranking::{Point, Standing, Sweep};

/// Lines of a plot.
const MOST_SERIES: usize = 12;

/// A sweep as a page.
///
/// # Errors
/// [`RenderError`], a fault of this program.
pub fn sweep_html(sweep: &Sweep) -> Result<String, RenderError> {
    let way = if sweep.is_simulated { "simulated in virtual time" } else { "run with real sockets" };
    render_page(&Page {
        title: format!("Sweep of {}", sweep.scenario),
        subtitle: format!("resurge sweep: {} points, {way}, seed {}", sweep.points.len(), sweep.seed),
        sections: vec![verdict(sweep), plots(sweep), table(sweep)],
        footer: format!("resurge {}", env!("CARGO_PKG_VERSION")),
    })
}

const fn tone(standing: Standing) -> Tone {
    match standing {
        Standing::Holds => Tone::Good,
        Standing::Breaks => Tone::Bad,
        Standing::Unknown => Tone::Warning,
    }
}

fn verdict(sweep: &Sweep) -> Section {
    let mut section = Section::new("best", "The best", "");
    let mut reasons = vec![sweep.headline()];
    reasons.extend(sweep.conditions.iter().map(|condition| format!("subject to {}", condition.source)));
    let standing = sweep.points.first().map_or(Standing::Unknown, |point| point.standing);
    let title = if standing == Standing::Holds { "FOUND" } else { "NOT FOUND" };
    section.push(Block::Verdict { tone: tone(standing), title: title.to_owned(), reasons });
    section
}

fn plots(sweep: &Sweep) -> Section {
    let lead = "Each place is a value of the first key, each line a choice of the others. Points whose runs are not valid are left out, and times beyond what was seen";
    let mut section = Section::new("choices", "From choice to choice", lead);
    let goal = plot(sweep, "goal", &sweep.goal.measure, None, |point| point.value?.seen());
    let conditions = sweep.conditions.iter().enumerate().map(|(index, condition)| {
        let limit = Mark::horizontal(condition.limit, &condition.source);
        plot(sweep, &format!("condition-{index}"), &condition.measure, Some(limit), move |point| {
            point.measured[index]?.seen()
        })
    });
    let plots = std::iter::once(goal).chain(conditions).collect();
    section.plots_or(plots, "No point has a value.");
    section
}

fn plot(
    sweep: &Sweep,
    id: &str,
    measure: &Measure,
    mark: Option<Mark>,
    value: impl Fn(&Point) -> Option<f64>,
) -> Plot {
    let [first, others @ ..] = sweep.grid.axes.as_slice() else {
        return Plot::of_choices(
            id,
            &measure.name,
            Choices { name: String::new(), values: Vec::new() },
            "",
            measure.unit(),
        );
    };
    let choices = Choices { name: first.key.clone(), values: first.values.clone() };
    let mut plot = Plot::of_choices(id, &measure.name, choices, &measure.name, measure.unit());
    let mut lines: Vec<&[usize]> = Vec::new();
    // In the points' order, so that the lines that are drawn are the best.
    for point in &sweep.points {
        if !lines.contains(&&point.at[1..]) && lines.len() < MOST_SERIES {
            lines.push(&point.at[1..]);
        }
    }
    for (index, line) in lines.iter().enumerate() {
        let mut values = vec![None; first.values.len()];
        for point in sweep.points.iter().filter(|point| &point.at[1..] == *line) {
            values[point.at[0]] = if point.standing == Standing::Unknown { None } else { value(point) };
        }
        let name: Vec<String> = others
            .iter()
            .zip(*line)
            .map(|(axis, value)| format!("{}={}", short(&axis.key), axis.values[*value]))
            .collect();
        let name = if name.is_empty() { measure.name.clone() } else { name.join(", ") };
        plot.series.push(Series::new(&name, index, values));
    }
    let all: usize = others.iter().map(|axis| axis.values.len()).product();
    if all > lines.len() {
        plot.note = format!("The best {} of {all} lines are drawn; the table has all.", lines.len());
    }
    plot.marks.extend(mark);
    plot
}

/// The last two parts of a key.
fn short(key: &str) -> &str {
    let from = key.rmatch_indices('.').nth(1).map_or(0, |(at, _)| at + 1);
    &key[from..]
}

fn table(sweep: &Sweep) -> Section {
    let mut section = Section::new("points", "All points", "The best first");
    let headings = sweep.headings();
    let words: Vec<String> = headings
        .iter()
        .enumerate()
        .map(|(index, name)| {
            let is_text = (1..=sweep.grid.axes.len()).contains(&index) || index + 1 == headings.len();
            if is_text { format!("<{name}") } else { name.clone() }
        })
        .collect();
    let names: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut table = Table::new("", &names);
    for (index, point) in sweep.points.iter().enumerate() {
        let tone = if point.standing == Standing::Holds { Tone::Plain } else { tone(point.standing) };
        table.row_in(tone, sweep.cells(index + 1, point));
    }
    section.push(Block::Table(table));
    section
}

#[cfg(test)]
mod tests {
    use super::super::ranking::tests::{POINTS, sweep};
    use super::*;

    #[test]
    fn the_page_shows_the_best_the_limit_and_a_line_for_each_choice_of_the_other_keys() {
        let sweep = sweep("recovery.p99", &POINTS);
        let section = plots(&sweep);
        let Block::Plots { plots } = &section.blocks[0] else { panic!("{section:?}") };
        let names: Vec<&str> = plots[0].series.iter().map(|series| series.name.as_str()).collect();
        assert_eq!(names, ["0.b=none", "0.b=full"]);
        assert_eq!(plots[0].series[0].values, [Some(3e6), Some(2e6), Some(2e6)]);
        assert_eq!(plots[0].series[1].values, [Some(1e6), None, Some(9e6)], "what is not valid is no point");
        assert_eq!(plots[1].marks.len(), 1);
        let page = sweep_html(&sweep).unwrap();
        assert!(page.contains("FOUND") && page.contains("groups.0.a"), "the page has what it must");
    }

    #[test]
    fn a_keys_last_parts_name_it() {
        assert_eq!(
            [short("groups.0.reconnect.backoff.max"), short("seed"), short("a.b")],
            ["backoff.max", "seed", "a.b"]
        );
    }
}
