//! By what a client shows who it is: a user name, a password.
//!
//! In: a text with variables, or a reference to a secret. Out: a template. A text is a secret where its key tells of one.

use crate::declare::kind::Kind;
use crate::declare::reading::reader::At;
use crate::declare::shape::{Shape, TextShape};
use crate::declare::template::Template;

use super::templates::{TokenParam, check_variables, token_param};

/// A text by which a client shows who it is. What a reference refers to is taken as it is.
pub(crate) const fn credential() -> Credential {
    Credential(token_param())
}

/// See [`credential`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Credential(TokenParam);

impl Kind for Credential {
    type Out = Template;

    fn shape(&self) -> Shape {
        match self.0.shape() {
            Shape::Text(text) => {
                Shape::Text(TextShape { name: "credential", examples: &["{token}"], ..text })
            }
            other => other,
        }
    }

    fn read(&self, at: &At<'_>) -> Option<Template> {
        let template = self.0.read(at)?;
        check_variables(at, &template, &[]);
        Some(template)
    }
}
