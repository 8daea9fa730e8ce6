//! How a key is declared: once, with all that is to be known of it.
//!
//! A table of the file is a struct in `table!`: each field has its description, default and kind. From that come reading with every fault at
//! once, the schema, the reference page, the copy of a run and what `check` says. Nothing here knows of scenarios.
//!
//! ```text
//! shape     what a value may look like, as data
//! kind      how a value is read: Kind (a value that knows), Value (a type that knows)
//! words     enums of words;  choice  a word, or a table with one key;  variants  keys that depend on a tag
//! table     structs of keys
//! kinds/    the kinds that there are: numbers, texts, times, codes, URLs
//! reading/  a document, value by value: spans, faults, secrets
//! pages/    from the shapes: JSON Schema, reference page
//! hidden    values that are not printed;  redact  texts without secrets;  template  texts with variables
//! functions what such texts may call
//! ```

pub(crate) mod choice;
pub(crate) mod functions;
pub mod hidden;
pub(crate) mod kind;
pub(crate) mod kinds;
pub(crate) mod pages;
pub(crate) mod reading;
pub mod redact;
pub(crate) mod shape;
pub(crate) mod table;
pub mod template;
pub(crate) mod variants;
pub(crate) mod words;

pub use hidden::bare_url;
pub use reading::fault::{Fault, Faults, Rule};
pub use redact::{Redactor, is_unruly, without_controls};

pub(crate) use choice::Choices;
pub(crate) use hidden::Hidden;
pub(crate) use kind::{Field, Kind, Of, Or, Take, Value, field, of, then};
pub(crate) use kinds::codes::{
    code_ranges, codes_or_any, refusing_status, refusing_statuses, sent_code, statuses,
};
pub(crate) use kinds::credential::credential;
pub(crate) use kinds::numbers::{List, flag, int, list, map, number, share, share_above_zero};
pub(crate) use kinds::rule::{
    ENVIRONMENT_NAME, HEADER_NAME, INNER_POINTER, NAME, NOT_EMPTY, POINTER, TextRule, VARIABLE,
};
pub(crate) use kinds::templates::{
    Variables, built_in, header_template, header_text, say_template, target_header, target_text, template,
    token_header, token_param, token_text, unfilled, variable,
};
pub(crate) use kinds::texts::{
    SecretsElsewhere, argument, environment_value, file, header, path, ruled, secret, string, strings, text,
};
pub(crate) use kinds::times::{
    self, Time, above_zero, duration, duration_pattern, interval, or_never, pace, pace_or_zero, rate, signed,
};
pub(crate) use kinds::urls::{address, http_url, loopback, name_server, ws_url, ws_url_template};
pub(crate) use pages::reference::reference;
pub(crate) use pages::schema::schema;
pub(crate) use reading::reader::{At, Reading, Table, nearest, read_capped};
pub(crate) use reading::secrets::{holds_secret, is_secret_header, is_secret_name, shown, tells_secret};
pub(crate) use shape::{FIRST, Hold, Key, Needs, Presence, Shape, TableShape, TextShape, Word};
pub(crate) use table::{Keys, Over, Part, any_of, check_needs, meaning, one_of, read_table, table};
pub(crate) use template::{Template, UrlText};
pub(crate) use variants::{Rows, flat, tagged};
pub(crate) use words::{Shipped, read_word, shipped, some_of, words};
