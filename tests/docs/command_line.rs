//! Command lines of `resurge` in the text of a page: found, split into words, made ready to be parsed.

use crate::markdown;

/// A command line: the words behind `resurge`, and where it stands.
#[derive(Debug, Clone)]
pub(crate) struct CommandLine {
    pub(crate) line: usize,
    pub(crate) words: Vec<String>,
    /// Whether it stands in a sentence, which may name an option without its value.
    is_mention: bool,
}

impl CommandLine {
    /// The long options, without values.
    pub(crate) fn long_options(&self) -> impl Iterator<Item = &str> {
        let options = self.words.iter().filter(|word| word.starts_with("--") && word.len() > 2);
        options.map(|word| word.split('=').next().unwrap_or_default())
    }

    /// The words as they can be parsed: without an option at the end of a mention, and with a number for a variable of the shell.
    pub(crate) fn parsed(&self) -> Vec<String> {
        let words = match self.words.split_last() {
            Some((last, rest)) if self.is_mention && last.starts_with("--") => rest,
            _ => &self.words,
        };
        words.iter().map(|word| without_variable(word)).collect()
    }

    /// Whether an option's value stands for another one (`--shards N`), or a word for several, so that the line cannot be parsed as it
    /// is.
    pub(crate) fn has_placeholders(&self) -> bool {
        let of_options =
            self.words.windows(2).any(|pair| pair[0].starts_with("--") && is_placeholder(&pair[1]));
        of_options || self.words.iter().any(|word| word.contains(['|', '*']))
    }
}

/// Whether it is a name in capitals, as `FORMAT=PATH`, or more than one value.
fn is_placeholder(value: &str) -> bool {
    let is_name = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_uppercase());
    value.contains('…') || value.split(['=', ',', '/', '-']).all(is_name)
}

/// A word whose variable, if it has one at its end, is a number.
fn without_variable(word: &str) -> String {
    word.split_once('$').map_or_else(|| word.to_owned(), |(before, _)| format!("{before}1"))
}

/// Every command line of a page: those in its blocks of shell and YAML, and the code spans that begin with `resurge`.
pub(crate) fn command_lines(text: &str) -> Vec<CommandLine> {
    let mut found = Vec::new();
    for fence in markdown::fences(text) {
        if matches!(fence.language(), "sh" | "console" | "yaml") {
            let body = fence.body.replace("\\\n", " ");
            let lines = body.lines().flat_map(in_line);
            found.extend(lines.map(|words| CommandLine { line: fence.line, words, is_mention: false }));
        }
    }
    for (at, line) in markdown::prose(text).iter().enumerate() {
        let spans = markdown::code_spans(line).into_iter().filter(|span| span.starts_with("resurge "));
        found.extend(spans.flat_map(in_line).map(|words| CommandLine {
            line: at + 1,
            words,
            is_mention: true,
        }));
    }
    found
}

/// The command lines of `resurge` in one line of shell.
fn in_line(line: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for command in shell_commands(line) {
        let program = command.iter().position(|word| word == "resurge" || word.ends_with("/resurge"));
        let by_cargo = command.windows(2).position(|pair| pair == ["--release", "--"]).map(|at| at + 1);
        let runs_it = by_cargo.filter(|_| command.first().is_some_and(|word| word == "cargo"));
        if let Some(at) = runs_it.or(program) {
            found.push(command[at + 1..].to_vec());
        }
    }
    found
}

/// A line of shell as commands, each as words: quotes are taken off; comments and redirections left out.
fn shell_commands(line: &str) -> Vec<Vec<String>> {
    let mut commands = vec![Vec::new()];
    let mut word: Option<String> = None;
    let mut quote = None;
    for c in line.chars().chain([' ']) {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), c) => word.get_or_insert_default().push(c),
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, '#') if word.is_none() => break,
            (None, ';' | '&' | '>' | ' ') => {
                commands.last_mut().unwrap().extend(word.take());
                if c != ' ' {
                    commands.push(Vec::new());
                }
            }
            (None, '|') if word.is_none() => commands.push(Vec::new()),
            (None, c) => word.get_or_insert_default().push(c),
        }
    }
    commands
}
