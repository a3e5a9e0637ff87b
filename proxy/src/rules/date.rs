//! A time as people read it: HAProxy's converters `http_date`, `ltime` and `utime` (manual, 7.3.1).

use std::sync::Arc;

use jiff::{Timestamp, tz::TimeZone};

/// How a number becomes a date.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct DateForm {
    zone: TimeZone,
    /// As `strftime` has it.
    format: Arc<str>,
    /// So many seconds are added to the number first.
    offset: i64,
}

impl DateForm {
    /// `http_date([OFFSET[,UNIT]])`, `ltime(FORMAT[,OFFSET])`, `utime(FORMAT[,OFFSET])`
    pub(super) fn read(name: &str, arguments: &[String]) -> Result<Self, String> {
        let offset = |text: Option<&String>| match text.map(String::as_str) {
            None | Some("") => Ok(0),
            Some(text) => {
                text.parse::<i64>().map_err(|_| format!("converter '{name}' expects a number (got '{text}')"))
            }
        };
        if name == "http_date" {
            if let Some(unit) = arguments.get(1).filter(|unit| *unit != "s") {
                return Err(format!(
                    "converter 'http_date' expects seconds here (got '{unit}'): leave the unit out"
                ));
            }
            let (zone, format) = (TimeZone::UTC, "%a, %d %b %Y %H:%M:%S GMT".into());
            return Ok(Self { zone, format, offset: offset(arguments.first())? });
        }
        let (format, rest) = arguments
            .split_first()
            .ok_or_else(|| format!("converter '{name}' expects a format, such as %H:%M"))?;
        let zone = if name == "utime" { TimeZone::UTC } else { TimeZone::system() };
        let form = Self { zone, format: format.as_str().into(), offset: offset(rest.first())? };
        if form.text(0).is_none() {
            return Err(format!("converter '{name}' : '{format}' is no format of a date, such as %Y-%m-%d"));
        }
        Ok(form)
    }

    /// The date; `None`: there is none with this number.
    pub(super) fn text(&self, number: i64) -> Option<Vec<u8>> {
        let second = number.checked_add(self.offset)?;
        let date = Timestamp::from_second(second).ok()?.to_zoned(self.zone.clone());
        jiff::fmt::strtime::format(&*self.format, &date).ok().map(String::into_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_haproxys() {
        let text = |name: &str, arguments: &[&str], number| {
            let arguments: Vec<String> = arguments.iter().map(|text| (*text).to_owned()).collect();
            DateForm::read(name, &arguments)
                .map(|form| String::from_utf8(form.text(number).unwrap()).unwrap())
        };
        assert_eq!(text("http_date", &[], 784_111_777), Ok("Sun, 06 Nov 1994 08:49:37 GMT".into()));
        assert_eq!(text("http_date", &["3600"], 784_111_777), Ok("Sun, 06 Nov 1994 09:49:37 GMT".into()));
        assert_eq!(text("utime", &["%Y-%m-%dT%H:%M:%S"], 784_111_777), Ok("1994-11-06T08:49:37".into()));
        for (name, arguments) in
            [("ltime", &[][..]), ("utime", &["%Q%"]), ("http_date", &["x"]), ("http_date", &["0", "ms"])]
        {
            assert!(text(name, arguments, 0).is_err(), "{name} {arguments:?}");
        }
    }
}
