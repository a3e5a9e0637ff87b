//! The formats of HAProxy's statistics: CSV, typed, JSON. Pure.

use std::fmt::Write;

use super::{Field, Info, InfoField, Row, Tags, Value};

/// The header of the CSV format: the names of all fields, and the column `-` behind which HAProxy puts what belongs to
/// its modules.
pub fn csv_header() -> String {
    let names: String = Field::ALL.iter().flat_map(|field| [field.name(), ","]).collect();
    format!("# {names}-,\n")
}

/// One line of the CSV format. It ends with a comma, as the header does.
pub fn csv_row(row: &Row, out: &mut String) {
    for &field in Field::ALL {
        if let Some(value) = row.value(field) {
            push_csv(value, out);
        }
        out.push(',');
    }
    out.push_str("-,\n");
}

/// Header and rows.
pub fn csv<'r>(rows: impl IntoIterator<Item = &'r Row>) -> String {
    let mut out = csv_header();
    for row in rows {
        csv_row(row, &mut out);
    }
    out
}

/// What has a comma, a quotation mark or the end of a line in it is quoted.
fn push_csv(value: &Value, out: &mut String) {
    match value {
        Value::Text(text) if text.contains(['"', ',', '\r', '\n']) => {
            out.push('"');
            for letter in text.chars() {
                match letter {
                    '"' => out.push_str("\"\""),
                    // No client reads a record of several lines.
                    '\r' | '\n' => out.push(' '),
                    letter => out.push(letter),
                }
            }
            out.push('"');
        }
        value => write!(out, "{value}").expect("a String takes all that is written"),
    }
}

/// A line for each field that says something, with its description where `described`.
pub fn typed<'r>(rows: impl IntoIterator<Item = &'r Row>, described: bool) -> String {
    let mut out = String::new();
    for row in rows {
        for (field, value) in row.iter() {
            let (kind, place) = (row.kind, field.place());
            let tags = field.tags(kind).0;
            let line = format!(
                "{}.{}.{}.{place}.{}.1:{tags}:{}:{value}",
                kind.letter(),
                row.proxy,
                row.id,
                field.name(),
                value.kind()
            );
            push_line(&line, described.then(|| field.description()), &mut out);
        }
    }
    out
}

/// Rows as JSON, by the schema of [`SCHEMA`].
pub fn json<'r>(rows: impl IntoIterator<Item = &'r Row>) -> String {
    let rows = rows.into_iter().map(|row| {
        let fields = row.iter().map(|(field, value)| {
            format!(
                r#"{{"objType":"{}","proxyId":{},"id":{},{}}}"#,
                row.kind.word(),
                row.proxy,
                row.id,
                json_field(field.place() as u32, field.name(), field.tags(row.kind), value)
            )
        });
        format!("[{}]", joined(fields))
    });
    format!("[{}]\n", joined(rows))
}

/// `Name: value`, a line for each field, with its description where `described`.
pub fn info(info: &Info, described: bool) -> String {
    let mut out = String::new();
    for (field, value) in info.iter() {
        let line = format!("{}: {value}", field.name());
        push_line(&line, described.then(|| field.description()), &mut out);
    }
    out
}

/// The same with types and tags.
pub fn info_typed(info: &Info, described: bool) -> String {
    let mut out = String::new();
    for (field, value) in info.iter() {
        let (name, tags) = (field.name(), field.tags().0);
        let line = format!("{}.{name}.1:{tags}:{}:{value}", field.number(), value.kind());
        push_line(&line, described.then(|| field.description()), &mut out);
    }
    out
}

/// The same as JSON.
pub fn info_json(info: &Info) -> String {
    let field = |(field, value): (InfoField, &Value)| {
        format!("{{{}}}", json_field(field.number(), field.name(), field.tags(), value))
    };
    format!("[{}]\n", joined(info.iter().map(field)))
}

/// What both JSON formats follow, as HAProxy gives it to `show schema json`.
pub const SCHEMA: &str = include_str!("schema.json");

fn push_line(line: &str, description: Option<&str>, out: &mut String) {
    out.push_str(line);
    if let Some(description) = description {
        write!(out, ":\"{description}\"").expect("a String takes all that is written");
    }
    out.push('\n');
}

fn json_field(place: u32, name: &str, tags: Tags, value: &Value) -> String {
    let [origin, nature, scope] = tags.words();
    let written = match value {
        Value::Text(text) => serde_json::Value::from(text.as_str()).to_string(),
        number => number.to_string(),
    };
    format!(
        r#""field":{{"pos":{place},"name":"{name}"}},"processNum":1,"tags":{{"origin":"{origin}","nature":"{nature}","scope":"{scope}"}},"value":{{"type":"{}","value":{written}}}"#,
        value.kind()
    )
}

fn joined(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests;
