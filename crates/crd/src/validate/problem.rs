//! What is wrong with a manifest, in the words of the API server.

use std::fmt;

use jsonschema::{
    ValidationError,
    error::{TypeKind, ValidationErrorKind},
    paths::{Location, LocationSegment},
};
use kube::core::cel;
use serde_json::Value;

/// One thing that is wrong with a manifest, displayed as the API server would say it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    field: String,
    kind: Kind,
    detail: String,
}

/// The kinds of error of the API server (`field.ErrorType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    UnknownField,
    Required,
    TypeInvalid,
    NotSupported,
    TooLong,
    TooMany,
    Invalid,
    Duplicate,
    Forbidden,
    RulesNotChecked,
}

impl Problem {
    /// Path of the field, such as `spec.redirectUris[0]`; empty where it is about the whole.
    pub fn field(&self) -> &str {
        &self.field
    }

    fn new(field: impl Into<String>, kind: Kind, detail: impl Into<String>) -> Self {
        Self { field: field.into(), kind, detail: detail.into() }
    }

    pub(super) fn invalid(field: &str, detail: impl fmt::Display) -> Self {
        Self::new(field, Kind::Invalid, detail.to_string())
    }

    pub(super) fn unknown_field(field: &str) -> Self {
        Self::new(field, Kind::UnknownField, "")
    }

    pub(super) fn rules_not_checked() -> Self {
        let detail = "some validation rules were not checked because the object was invalid; \
                      correct the existing errors to complete validation";
        Self::new("", Kind::RulesNotChecked, detail)
    }

    pub(super) fn is_unknown_field(&self) -> bool {
        self.kind == Kind::UnknownField
    }

    /// Whether the rules cannot be evaluated on an object with this problem.
    pub(super) fn blocks_rules(&self) -> bool {
        match self.kind {
            Kind::Required | Kind::TypeInvalid | Kind::NotSupported | Kind::TooLong | Kind::TooMany => true,
            Kind::UnknownField
            | Kind::Invalid
            | Kind::Duplicate
            | Kind::Forbidden
            | Kind::RulesNotChecked => false,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { field, kind, detail } = self;
        let what = match kind {
            Kind::UnknownField => return write!(f, "unknown field {field:?}"),
            Kind::RulesNotChecked => return f.write_str(detail),
            Kind::Required => return write!(f, "{field}: Required value"),
            Kind::TypeInvalid | Kind::Invalid => "Invalid value",
            Kind::NotSupported => "Unsupported value",
            Kind::TooLong => "Too long",
            Kind::TooMany => "Too many",
            Kind::Duplicate => "Duplicate value",
            Kind::Forbidden => "Forbidden",
        };
        let separator = if field.is_empty() { "" } else { ": " };
        write!(f, "{field}{separator}{what}: {detail}")
    }
}

/// What a violation of the structure is called.
pub(super) fn of_structure(error: &ValidationError<'_>) -> Vec<Problem> {
    let field = path(error.instance_path());
    let value = error.instance().as_ref();
    let length =
        || value.as_array().map_or_else(|| value.as_object().map_or(0, serde_json::Map::len), Vec::len);
    let (kind, detail) = match error.kind() {
        ValidationErrorKind::AdditionalProperties { unexpected } => {
            return unexpected.iter().map(|name| Problem::unknown_field(&child(&field, name))).collect();
        }
        ValidationErrorKind::UniqueItems => return duplicates(&field, value),
        ValidationErrorKind::Required { property } => {
            return vec![Problem::new(
                child(&field, property.as_str().unwrap_or_default()),
                Kind::Required,
                "",
            )];
        }
        ValidationErrorKind::Type { kind: TypeKind::Single(wanted) } => {
            let given = type_of(value);
            (Kind::TypeInvalid, format!("{given:?}: {field} in body must be of type {wanted}: {given:?}"))
        }
        ValidationErrorKind::Enum { options } => {
            (Kind::NotSupported, format!("{value}: supported values: {}", listing(options)))
        }
        ValidationErrorKind::Pattern { pattern } => {
            (Kind::Invalid, format!("{value}: {field} in body should match '{pattern}'"))
        }
        ValidationErrorKind::MinLength { limit } => {
            (Kind::Invalid, format!("{value}: {field} in body should be at least {limit} chars long"))
        }
        ValidationErrorKind::MaxLength { limit } => {
            (Kind::TooLong, format!("may not be more than {limit} bytes"))
        }
        ValidationErrorKind::MinItems { limit } => {
            (Kind::Invalid, format!("{}: {field} in body should have at least {limit} items", length()))
        }
        ValidationErrorKind::MaxItems { limit } | ValidationErrorKind::MaxProperties { limit } => {
            (Kind::TooMany, format!("{}: must have at most {limit} items", length()))
        }
        _ => (Kind::Invalid, error.to_string()),
    };
    vec![Problem::new(field, kind, detail)]
}

/// What a violation of a rule is called.
pub(super) fn of_rule(error: &cel::ValidationError) -> Problem {
    let kind = match error.reason.as_deref() {
        Some("FieldValueForbidden") => Kind::Forbidden,
        Some("FieldValueRequired") => Kind::Required,
        Some("FieldValueDuplicate") => Kind::Duplicate,
        _ => Kind::Invalid,
    };
    Problem::new(error.field_path.trim_start_matches('.'), kind, error.message.clone())
}

fn duplicates(field: &str, list: &Value) -> Vec<Problem> {
    let items = list.as_array().map(Vec::as_slice).unwrap_or_default();
    let second = |index: usize| items[..index].iter().filter(|item| **item == items[index]).count() == 1;
    let repeated = (0..items.len()).filter(|index| second(*index));
    repeated
        .map(|index| Problem::new(format!("{field}[{index}]"), Kind::Duplicate, items[index].to_string()))
        .collect()
}

fn path(location: &Location) -> String {
    location.into_iter().fold(String::new(), |path, segment| match segment {
        LocationSegment::Property(name) => child(&path, &name),
        LocationSegment::Index(index) => format!("{path}[{index}]"),
    })
}

fn child(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// The options of an enum, quoted, also where they are numbers.
fn listing(options: &Value) -> String {
    let quoted = options.as_array().into_iter().flatten().map(|option| match option {
        Value::String(text) => format!("{text:?}"),
        other => format!("\"{other}\""),
    });
    quoted.collect::<Vec<_>>().join(", ")
}
