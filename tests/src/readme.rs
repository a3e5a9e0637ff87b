//! What README shows, taken literally: blocks behind `<!-- recipe: NAME -->`.

const README: &str = include_str!("../../README.md");

/// The lines that README shows for `name`, without the indentation of the list in which they may stand.
pub fn recipe(name: &str) -> String {
    let mark = format!("<!-- recipe: {name} -->\n");
    let (_, behind) = README.split_once(&mark).unwrap_or_else(|| panic!("README has no {mark}"));
    let (indentation, block) = behind.split_once("```").expect("a block");
    let (_, block) = block.split_once('\n').expect("its first line");
    let (block, _) = block.split_once("```").expect("its end");
    let lines = block.lines().map(|line| line.strip_prefix(indentation).unwrap_or(line.trim_start()));
    lines.filter(|line| !line.is_empty()).map(|line| format!("{line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_taken_without_the_indentation_of_its_list() {
        assert_eq!(recipe("setup"), "sudo drainctl setup --enable\n");
        assert!(recipe("haproxy").starts_with("option httpchk\n"), "{}", recipe("haproxy"));
    }
}
