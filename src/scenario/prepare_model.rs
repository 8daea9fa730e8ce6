//! What a client does before a handshake, and what messages make it do, as typed data.
//!
//! In: nothing. Out: types whose values were checked when a file was loaded.

use std::time::Duration;

use super::model::HeaderText;
use super::template::Template;

/// HTTP requests before a handshake, and what is kept of their answers.
#[derive(Debug, Clone, Default)]
pub struct PrepareRules {
    /// Variables and what they hold at first.
    pub variables: Vec<(String, Template)>,
    /// The requests, one after the other.
    pub steps: Vec<Step>,
    /// When they are made.
    pub when: PrepareWhen,
    /// With [`PrepareWhen::Once`]: after so many reuses they are made anew; `None`: never for that.
    pub renew_after: Option<u32>,
    /// Statuses of a handshake after which they are made anew.
    pub renew_on: Vec<u16>,
    /// Close codes after which they are made anew, as first and last of each range.
    pub renew_on_codes: Vec<(u16, u16)>,
}

/// When the requests are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PrepareWhen {
    /// `"each-attempt"`.
    #[default]
    EachAttempt,
    /// `"once"`: before the first handshake, and when something calls for it.
    Once,
}

/// One HTTP request.
#[derive(Debug, Clone)]
pub struct Step {
    /// Its name, for messages.
    pub name: String,
    /// Method, in upper case.
    pub method: String,
    /// Where to.
    pub place: StepPlace,
    /// Headers, in order; values may hold variables.
    pub headers: Vec<(String, StepHeader)>,
    /// Body; `None`: none.
    pub body: Option<Template>,
    /// `Content-Type` of the body.
    pub content_type: String,
    /// Variables to fill, and where in the JSON answer their values stand (JSON Pointer, RFC 6901).
    pub save: Vec<(String, String)>,
    /// Statuses that are no failure; empty: any 2xx.
    pub expect: Vec<u16>,
    /// Longest wait for the answer.
    pub timeout: Duration,
}

/// Where a request goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepPlace {
    /// A whole URL.
    Url(Template),
    /// A path on the embedded target.
    Path(Template),
}

/// The value of a request's header.
#[derive(Debug, Clone)]
pub enum StepHeader {
    /// Written in the scenario.
    Template(Template),
    /// From the environment or a file, as it is.
    Secret(HeaderText),
}

/// What a message makes a client do.
#[derive(Debug, Clone)]
pub struct OnMessage {
    /// Text messages that contain this.
    pub contains: String,
    /// Variables to fill from it, as in [`Step::save`].
    pub save: Vec<(String, String)>,
    /// What is sent back.
    pub reply: Option<Template>,
    /// Where the message says how often a heartbeat is due, in milliseconds (JSON Pointer), and the heartbeat's text. The
    /// first is sent after a share of that time, drawn from 0 to 1.
    pub heartbeat: Option<(String, Template)>,
    /// Whether the session is given up for another one.
    pub then: Then,
}

/// What follows a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Then {
    /// Nothing.
    #[default]
    GoOn,
    /// `"reconnect"`: the client closes with 1000 and connects again at once.
    Reconnect,
    /// `"renew"`: the same, and the requests before the handshake are made anew.
    Renew,
}
