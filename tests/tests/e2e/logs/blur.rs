//! A line of a log without what no two runs have in common: dates, ports, process ids and durations; and without the
//! count of bytes, which HAProxy 2.6 takes from its own form of the server's answer, and we from what the client gets.

/// The line in fields. What varies reads `*`, but what was not reached keeps its `-1`.
pub(super) fn fields(line: &str) -> Vec<String> {
    let (header, line) = line.split_once("]: ").unwrap_or(("", line));
    let priority = header.split_inclusive('>').next().unwrap_or_default();
    let mut fields = vec![priority.to_owned()];
    if line.starts_with("Server ") {
        fields.extend(
            line.split(' ').map(|word| if word.ends_with("ms.") { "*".to_owned() } else { word.to_owned() }),
        );
    } else if line.contains(" - - [") {
        fields.extend(clf(line));
    } else {
        // Behind the durations, or behind the status that stands there.
        let bytes = if line.split(' ').nth(4).unwrap_or_default().matches('/').count() == 4 { 6 } else { 5 };
        fields.extend(line.split(' ').enumerate().map(|(at, word)| match at {
            0 => word.split(':').next().unwrap_or_default().to_owned(),
            1 if word.starts_with('[') => "*".to_owned(),
            4 => word.split('/').map(duration).collect::<Vec<_>>().join("/"),
            _ if at == bytes => count(word),
            _ => word.to_owned(),
        }));
    }
    fields
}

/// Port and milliseconds stand behind two empty strings, then three names and five durations.
fn clf(line: &str) -> Vec<String> {
    let words: Vec<&str> = line.split(' ').collect();
    let port = words.windows(2).position(|two| two == ["\"\"", "\"\""]).map_or(usize::MAX, |at| at + 2);
    let blur = |(at, word): (usize, &&str)| match at {
        3 => "*".to_owned(),
        _ if at == port || at == port + 1 => "*".to_owned(),
        _ if at + 3 == port => count(word),
        _ if (port + 5..port + 10).contains(&at) => duration(word),
        _ => (*word).to_owned(),
    };
    words.iter().enumerate().map(blur).collect()
}

fn count(text: &str) -> String {
    if text == "0" { text.to_owned() } else { "*".to_owned() }
}

fn duration(text: &str) -> String {
    if text.starts_with("-1") { text.to_owned() } else { "*".to_owned() }
}

#[test]
fn only_what_varies_is_blurred() {
    assert_eq!(
        fields("<134>Nov 22 13:34:19 lb[1]: 127.0.0.1:4 [22/Nov/2026:13:34:19.519] web shop/a 0/-1/3 98 -- 1/1/0/0/0 0/0").join(" "),
        "<134> 127.0.0.1 * web shop/a */-1/* * -- 1/1/0/0/0 0/0"
    );
    assert_eq!(
        fields("<134>x lb[1]: 1.2.3.4 - - [22/Nov/2026:13:34:19 +0000] \"<BADREQ>\" 400 0 \"\" \"\" 44 594 \"f\" \"f\" \"s\" -1 -1 -1 -1 0 PR-- 1 1 0 0 0 0 0 \"\" \"\" ").join(" "),
        "<134> 1.2.3.4 - - * +0000] \"<BADREQ>\" 400 0 \"\" \"\" * * \"f\" \"f\" \"s\" -1 -1 -1 -1 * PR-- 1 1 0 0 0 0 0 \"\" \"\" "
    );
    assert_eq!(
        fields("<129>x lb[1]: Server a/b is DOWN, check duration: 4ms. 0 active").join(" "),
        "<129> Server a/b is DOWN, check duration: * 0 active"
    );
}
