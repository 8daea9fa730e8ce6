//! A feeder of a group, and what it fills in its token requests.
//!
//! In: the name of a CSV file. Out: [`Feeder`], its rows; [`TokenFill`], the values of variables.

use std::sync::Arc;

use secrecy::{ExposeSecret as _, SecretString};

use crate::declare::template::time_variable;
use crate::declare::{At, Kind, Table, Template, string, then};
use crate::scenario::file::feeder::{FeederFile, read_feeder};

/// The variables that the texts of a token request may hold, beside the columns of a feeder.
pub const TOKEN_VARIABLES: [&str; 5] = ["client", "now", "now_iso", "now_ms", "unix_ms"];

/// The kind of a key that names a feeder.
pub(super) fn feeder() -> impl Kind<Out = Arc<Feeder>> {
    then(string(), feed)
}

/// Rows of a CSV file, one a client: the group's first client takes the first row. Where there are fewer rows than clients, they begin again.
#[derive(Debug)]
pub struct Feeder {
    file: FeederFile,
}

impl Feeder {
    /// How many rows it has; at least one.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.file.rows()
    }

    /// What the row of the group's client `index` has in a column.
    #[must_use]
    pub fn value(&self, index: u32, column: &str) -> Option<&SecretString> {
        self.file.value(index as usize % self.rows().max(1), column)
    }

    /// The line of the first row that has nothing in a column.
    pub(super) fn first_empty(&self, column: &str) -> Option<usize> {
        self.file.first_empty(column)
    }

    /// The names of its columns.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.file.columns()
    }
}

/// What fills the variables of a token request of one client.
#[derive(Debug, Clone, Copy)]
pub struct TokenFill<'a> {
    /// The client's number in the run.
    pub client: u32,
    /// Its index in its group.
    pub index: u32,
    /// The time, in microseconds since 1970.
    pub unix_us: u64,
    /// The group's feeder.
    pub feeder: Option<&'a Feeder>,
}

impl TokenFill<'_> {
    /// The value of a variable.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<String> {
        if let Some(fed) = self.feeder.and_then(|feeder| feeder.value(self.index, name)) {
            return Some(fed.expose_secret().to_owned());
        }
        match name {
            "client" => Some(self.client.to_string()),
            other => time_variable(other, self.unix_us),
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "what a declaration's `then` calls takes what was read")]
fn feed(file: String, at: &At<'_>) -> Option<Arc<Feeder>> {
    match read_feeder(&at.reading.file(&file)) {
        Ok(file) => Some(Arc::new(Feeder { file })),
        Err(why) => {
            let help =
                "a CSV file with the names of its columns in the first line, and a row at least, is needed";
            at.elsewhere(format!("{file} cannot be used: {why}"), help);
            None
        }
    }
}

/// Whether all the variables of a text are filled.
pub(super) fn check_filled(
    template: &Template,
    path: &str,
    key: &str,
    feeder: Option<&Feeder>,
    table: &Table<'_>,
) {
    for fault in template.faults() {
        table.between(Some(key), format!("in `{path}`: {}", fault.what), fault.help.as_str());
    }
    let fed: Vec<&str> = feeder.into_iter().flat_map(Feeder::columns).collect();
    let known = |name: &str| TOKEN_VARIABLES.contains(&name) || fed.contains(&name);
    for name in template.variables().filter(|name| !known(name)) {
        let message = format!("`{path}` names {{{name}}}, which nothing fills");
        // The names of columns are not shown: a file that is no feeder may have anything in its first line.
        let help = format!("there are {}, and the columns of the feeder", TOKEN_VARIABLES.join(", "));
        table.between(Some(key), message, help);
    }
}
