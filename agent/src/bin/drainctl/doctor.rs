//! What the doctor has found, as people read it.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use drain_agent::doctor::{
    Diagnosis, Finding, Level,
    haproxy::{self, Wanted},
};

use crate::verdict::Fault;

/// A longer file is no configuration of `HAProxy`'s.
const FILE_BYTES: u64 = 16 * 1024 * 1024;

/// Adds what the files of `HAProxy`'s say.
pub(crate) fn read(diagnosis: &mut Diagnosis, files: &[PathBuf]) -> Result<(), Fault> {
    let read = |file: &PathBuf| Ok((file.display().to_string(), text_of(file)?));
    let files: Vec<(String, String)> = files.iter().map(read).collect::<Result<_, Fault>>()?;
    let wanted = Wanted {
        health_ports: &diagnosis.health_ports,
        spoken_ports: &diagnosis.spoken_ports,
        server_ports: &diagnosis.server_ports,
        names: &diagnosis.names,
        acknowledge: Duration::try_from_secs_f64(diagnosis.acknowledge_seconds).unwrap_or(Duration::MAX),
    };
    let found = haproxy::examine(&files, &wanted);
    diagnosis.findings.extend(found);
    Ok(())
}

fn text_of(file: &Path) -> Result<String, Fault> {
    let unreadable = |why: String| Fault::Failed(format!("can't read {}: {why}", file.display()));
    let length = fs::metadata(file).map_err(|error| unreadable(error.to_string()))?.len();
    if length > FILE_BYTES {
        return Err(unreadable(format!("it has {length} bytes, and is surely no configuration")));
    }
    let text = fs::read(file).map_err(|error| unreadable(error.to_string()))?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// How many would make a drain fail.
pub(crate) fn failures(diagnosis: &Diagnosis) -> usize {
    diagnosis.findings.iter().filter(|finding| finding.level == Level::Failure).count()
}

/// A line for each finding, and one for its cure; then what all of it comes to.
pub(crate) fn text(diagnosis: &Diagnosis) -> String {
    let width = diagnosis.findings.iter().map(|finding| finding.about.len()).max().unwrap_or(0);
    let mut out: String = diagnosis.findings.iter().map(|finding| line(finding, width)).collect();
    let count = |level| diagnosis.findings.iter().filter(|finding| finding.level == level).count();
    let (failures, warnings) = (count(Level::Failure), count(Level::Warning));
    out.push_str(&match (failures, warnings) {
        (0, 0) => format!("{}: all is well", diagnosis.server),
        (0, warnings) => format!("{}: nothing would fail; warnings: {warnings}", diagnosis.server),
        (failures, warnings) => format!("{}: would fail: {failures}, warnings: {warnings}", diagnosis.server),
    });
    out
}

/// One finding, what it is about as wide as that.
pub(crate) fn line(finding: &Finding, width: usize) -> String {
    let place = finding.place.as_ref().map(|place| format!("{place}: ")).unwrap_or_default();
    let mut line = format!("{:<7}  {:<width$}  {place}{}\n", finding.level, finding.about, finding.text);
    if let Some(cure) = &finding.cure {
        line.push_str(&format!("{:<7}  {:<width$}    cure: {cure}\n", "", ""));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::diagnosis;

    #[test]
    fn each_finding_has_its_line_and_its_cure() {
        let found = vec![
            Finding::ok("clock", "it is right"),
            Finding::failure("balancers", "nobody asks", "let somebody ask").at("h.cfg:7".to_owned()),
        ];
        let expected = "\
ok       clock      it is right
FAILS    balancers  h.cfg:7: nobody asks
                      cure: let somebody ask
web1: would fail: 1, warnings: 0";
        let shown = text(&diagnosis(found));
        assert_eq!(shown, expected, "\n{shown}");
    }

    #[test]
    fn a_warning_is_no_failure() {
        let found = vec![Finding::warning("clock", "it is old", "set it")];
        assert_eq!(failures(&diagnosis(found.clone())), 0);
        assert!(text(&diagnosis(found)).ends_with("nothing would fail; warnings: 1"));
        assert!(text(&diagnosis(Vec::new())).ends_with("all is well"));
    }

    #[test]
    fn a_file_that_is_not_there_is_told() {
        let error = read(&mut diagnosis(Vec::new()), &["/no/such.cfg".into()]).unwrap_err();
        assert!(error.to_string().starts_with("can't read /no/such.cfg"), "{error}");
    }
}
