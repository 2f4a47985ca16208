//! The subject of a message, as SNS takes it: another makes `Publish` fail.
//!
//! Which words are in it is left to whoever writes the title.

/// SNS's rule: ASCII text that begins with a letter, a number or a punctuation mark, without line
/// breaks or control characters, of fewer than 100 characters. Source: SNS API, `Publish`.
const CHARS_MAX: usize = 99;

/// A title as a subject. Where it is too long, whole words of it are left out, and no number is left
/// without what it counts.
pub(super) fn subject(title: &str) -> String {
    let printable = |c: char| match c {
        ' '..='~' => c,
        c if c.is_whitespace() || c.is_control() => ' ',
        _ => '?',
    };
    let words = title.chars().map(printable).collect::<String>();
    let words: Vec<_> = words.split(' ').filter(|word| !word.is_empty()).collect();
    let whole = words.join(" ");
    if whole.is_empty() {
        return "Ebb".to_owned();
    }
    if whole.len() <= CHARS_MAX {
        return whole;
    }
    let room = CHARS_MAX - "...".len();
    // Every character is one byte by now.
    let begin = whole[..=room].rsplit_once(' ').map_or(&whole[..room], |(begin, _)| begin);
    let is_open = |c: char| c == ',' || c == ' ' || c.is_ascii_digit();
    format!("{}...", begin.trim_end_matches(is_open))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_is_ascii_in_one_line() {
        assert_eq!(subject("Ebb drains 1 container instance"), "Ebb drains 1 container instance");
        assert_eq!(subject(" Größe\r\nof\tshop "), "Gr??e of shop");
        assert_eq!(subject("\n"), "Ebb");
        assert_eq!(subject(""), "Ebb");
    }

    #[test]
    fn a_long_subject_ends_with_a_whole_word_and_no_bare_number() {
        let counts: Vec<_> = (100..120).map(|number| format!("{number} failed")).collect();
        for chars in 40..140 {
            let title: String = counts.join(", ").chars().take(chars).collect();
            let title = title.trim();
            let subject = subject(title);
            assert!(subject.len() <= CHARS_MAX, "{subject}");
            if title.len() <= CHARS_MAX {
                assert_eq!(subject, title);
            } else {
                let begin = subject.strip_suffix("...").unwrap();
                assert!(begin.ends_with(" failed"), "{subject}");
                assert!(title.starts_with(begin), "{subject}");
            }
        }
        assert_eq!(subject(&"x".repeat(200)).len(), CHARS_MAX);
    }
}
