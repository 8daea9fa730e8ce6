//! Who may ask an endpoint of this machine: nobody for another site, and beyond loopback who shows the token.
//!
//! In: a request's headers and address. Out: whether it is answered, or why not. Pure but for the token, which is drawn once from the system.

mod gate;
mod json;
mod same_site;
mod token;

pub use gate::{Admitted, Gate, Refusal};
pub use json::is_json;
pub use same_site::{Reach, sign_of_another_site};
pub use token::{AccessToken, NoToken, TOKEN_VARIABLE};
